// Clients that are remembered, as elements of the `affinity` maps.
import { type Addr, formatAddrPort } from "#ip";
import type { Element } from "#nft";
import type { Affinity, FrontendUpdate } from "../dataplane.ts";
import type { Backend } from "../types.ts";
import { backendIds, firstOf, type Owner } from "./owners.ts";

type Part = Element["key"][number];
type OwnerOf = (number: number) => Owner | undefined;

function isAddr(part: Part | undefined): part is Addr {
  return typeof part === "object" && "family" in part;
}

interface Remembered {
  readonly client: Addr;
  /** Number of the service port. */
  readonly owner: number;
  /** Id of the backend. */
  readonly backend: string;
}

function decode({ key, data }: Element): Remembered | undefined {
  const [client, , owner] = key;
  if (!isAddr(client) || typeof owner !== "number" || data === undefined || "kind" in data) return undefined;
  const [addr, port] = data;
  return isAddr(addr) && typeof port === "number" ? { client, owner, backend: formatAddrPort(addr, port) } : undefined;
}

/** Undefined: not an element of an affinity map, or nobody's. */
export function affinityOf(element: Element, ownerOf: OwnerOf): Affinity | undefined {
  const remembered = decode(element);
  const owner = remembered && ownerOf(remembered.owner);
  const frontend = owner && firstOf(owner);
  if (remembered === undefined || frontend === undefined) return undefined;
  const { client, backend } = remembered;
  const { expiresMs } = element;
  return { client, frontend: frontend.key, backend, ...(expiresMs !== undefined && { expiresMs }) };
}

/** What an affinity map should be without, and what it should have instead. */
export interface SweepStep {
  readonly remove: Element;
  readonly again?: Element;
}

/**
 * Clients whose backend gets no new connections any more are forgotten (cilium/cilium#27096 is what happens otherwise). Where the
 * service port's timeout is another one now, it counts from when the client was last seen.
 */
export function sweep(elements: readonly Element[], ownerOf: OwnerOf): SweepStep[] {
  const owners = new Map<number, { readonly ids: ReadonlySet<string>; readonly timeoutMs: number } | undefined>();
  const steps: SweepStep[] = [];
  for (const element of elements) {
    const remembered = decode(element);
    if (remembered === undefined) continue;
    if (!owners.has(remembered.owner)) owners.set(remembered.owner, termsOf(ownerOf(remembered.owner)));
    const terms = owners.get(remembered.owner);
    if (terms?.ids.has(remembered.backend) !== true) {
      steps.push({ remove: element });
      continue;
    }
    const { timeoutMs, expiresMs } = element;
    if (timeoutMs === undefined || expiresMs === undefined || timeoutMs === terms.timeoutMs) continue;
    const left = terms.timeoutMs - (timeoutMs - expiresMs);
    steps.push({ remove: element, ...(left > 0 && { again: { ...element, timeoutMs: terms.timeoutMs, expiresMs: left } }) });
  }
  return steps;
}

function termsOf(owner: Owner | undefined): { readonly ids: ReadonlySet<string>; readonly timeoutMs: number } | undefined {
  const seconds = owner && firstOf(owner)?.affinitySeconds;
  return owner && seconds !== undefined ? { ids: backendIds(owner), timeoutMs: seconds * 1000 } : undefined;
}

/** Whether what is remembered may be wrong after this. */
export function concernsClients({ old, next }: FrontendUpdate): boolean {
  if (old?.affinitySeconds === undefined) return false;
  if (next === undefined || next.affinitySeconds !== old.affinitySeconds || next.service !== old.service) return true;
  return isWithout(old.backends, next.backends) || isWithout(old.inside, next.inside);
}

function isWithout(old: readonly Backend[] = [], next: readonly Backend[] = []): boolean {
  const ids = new Set(next.map(({ id }) => id));
  return old.some(({ id }) => !ids.has(id));
}
