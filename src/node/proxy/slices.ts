// EndpointSlices by the Service they belong to.
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import type { Change } from "#client";
import type { Family } from "#ip";

const SERVICE_NAME = "kubernetes.io/service-name";
const TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time";

/** When a change was asked for, in milliseconds since 1970. */
export interface Trigger {
  readonly family: Family;
  readonly at: number;
}

export class SliceIndex {
  readonly #byService = new Map<string, Map<string, EndpointSlice>>();
  #triggers: Trigger[] = [];

  /** Takes a change in and returns the Services it concerns. Times of changes before the start are of no interest (`ignoreTime`). */
  apply(change: Change<EndpointSlice>, ignoreTime = false): ReadonlySet<string> {
    const touched = new Set<string>();
    const old = change.type === "delete" ? change.object : change.old;
    const before = old && serviceOf(old);
    const now = change.type === "set" ? serviceOf(change.object) : undefined;
    if (before !== undefined) {
      touched.add(before);
      if (before !== now) this.#remove(before, change.key);
    }
    if (now !== undefined) {
      touched.add(now);
      const slices = this.#byService.get(now);
      if (slices === undefined) this.#byService.set(now, new Map([[change.key, change.object]]));
      else slices.set(change.key, change.object);
    }
    if (!ignoreTime && change.type === "set") this.#noteTime(change.object, change.old);
    return touched;
  }

  of(service: string): Iterable<EndpointSlice> {
    return this.#byService.get(service)?.values() ?? [];
  }

  /** When the changes since the last call were asked for. */
  takeTriggers(): readonly Trigger[] {
    const triggers = this.#triggers;
    this.#triggers = [];
    return triggers;
  }

  /** They are to be taken again: what was asked for has not happened yet. */
  returnTriggers(triggers: readonly Trigger[]): void {
    this.#triggers.unshift(...triggers);
  }

  #remove(service: string, key: string): void {
    const slices = this.#byService.get(service);
    slices?.delete(key);
    if (slices?.size === 0) this.#byService.delete(service);
  }

  #noteTime(slice: EndpointSlice, old: EndpointSlice | undefined): void {
    const text = slice.metadata?.annotations?.[TRIGGER_TIME];
    if (text === undefined || text === old?.metadata?.annotations?.[TRIGGER_TIME]) return;
    const at = Date.parse(text);
    if (!Number.isNaN(at)) this.#triggers.push({ at, family: slice.addressType === "IPv6" ? 6 : 4 });
  }
}

function serviceOf(slice: EndpointSlice): string | undefined {
  const name = slice.metadata?.labels?.[SERVICE_NAME];
  return name === undefined || name === "" ? undefined : `${slice.metadata?.namespace}/${name}`;
}
