// A watch: packets at the links of namespaces, and their steps through nftables, as they come.
import { setImmediate } from "node:timers/promises";
import { errorMessage } from "#base";
import { type Link, type NetNs, openRoute, streamFrames } from "#linux";
import { decodeFrame, type Frame, type Packet } from "#wire";
import { armTrace } from "./arm.ts";
import { compileFilter, isMeant } from "./packet-filter.ts";
import type { OpenNamespace } from "./read.ts";
import { TraceReader } from "./trace-reader.ts";
import type { CaptureSighting, Sighting, WatchMatch, WatchRequest } from "./types.ts";

export interface WatchSource {
  readonly node: string;
  readonly namespaces: readonly OpenNamespace[];
}

/** Sightings of one watch, at most. */
const MAX_SIGHTINGS = 20_000;
const PAYLOAD_BYTES = 64;

/** Ends when the time is up or `signal` is aborted; then nothing of it is left in the kernel. */
export async function* watch(source: WatchSource, request: WatchRequest, signal: AbortSignal): AsyncGenerator<Sighting> {
  const ended = AbortSignal.any([signal, AbortSignal.timeout(request.seconds * 1000)]);
  const queue = new SightingQueue(source.node);
  const watches: NamespaceWatch[] = [];
  const problems: string[] = [];
  const wanted = source.namespaces.filter(({ name }) => request.namespaces === undefined || request.namespaces.includes(name));
  try {
    for (const open of wanted) {
      try {
        watches.push(new NamespaceWatch(open, request, queue));
      } catch (err) {
        problems.push(`${open.name}: ${errorMessage(err)}`);
      }
      await setImmediate();
    }
    yield { kind: "armed", node: source.node, namespaces: watches.map(({ name }) => name), problems };
    yield* queue.until(ended, () => {
      for (const one of watches) one.drain();
    });
  } finally {
    await Promise.all(watches.map((one) => one.close()));
  }
}

class SightingQueue {
  readonly node: string;
  #waiting: Sighting[] = [];
  #count = 0;
  #wake = Promise.withResolvers<void>();

  constructor(node: string) {
    this.node = node;
  }

  push(sighting: Sighting, namespace: string): void {
    if (this.#count > MAX_SIGHTINGS) return;
    this.#count++;
    this.#waiting.push(this.#count > MAX_SIGHTINGS ? { kind: "lost", node: this.node, namespace, what: "limit" } : sighting);
    this.#wake.resolve();
  }

  async *until(ended: AbortSignal, drain: () => void): AsyncGenerator<Sighting> {
    ended.addEventListener("abort", () => this.#wake.resolve(), { once: true });
    for (;;) {
      const isLast = ended.aborted;
      if (isLast) drain();
      const now = this.#waiting;
      this.#waiting = [];
      this.#wake = Promise.withResolvers();
      yield* now;
      if (isLast) return;
      if (!ended.aborted && this.#waiting.length === 0) await this.#wake.promise;
    }
  }
}

interface Draining {
  drain(): void;
  close(): Promise<void>;
}

class NamespaceWatch {
  readonly name: string;
  readonly #open: Draining[] = [];
  readonly #queue: SightingQueue;
  readonly #links: LinkNames;

  constructor({ name, ns }: OpenNamespace, request: WatchRequest, queue: SightingQueue) {
    const { match, captures = true, traces = true } = request;
    this.name = name;
    this.#queue = queue;
    this.#links = new LinkNames(ns);
    try {
      if (traces) this.#trace(ns, match);
      if (captures) this.#capture(ns, match);
    } catch (err) {
      void this.close();
      throw err;
    }
  }

  drain(): void {
    for (const one of this.#open) one.drain();
  }

  async close(): Promise<void> {
    await Promise.all(this.#open.splice(0).map((one) => one.close()));
  }

  #trace(ns: NetNs, match: WatchMatch): void {
    const reader = new TraceReader(ns, {
      node: this.#queue.node,
      namespace: this.name,
      linkName: (index) => this.#links.nameOf(index),
      onSighting: (sighting) => this.#queue.push(sighting, this.name),
    });
    this.#open.push(reader);
    const armed = armTrace(ns, match);
    this.#open.push({ drain() {}, close: () => armed.close() });
  }

  #capture(ns: NetNs, match: WatchMatch): void {
    const { node } = this.#queue;
    const stream = streamFrames(
      ns,
      ({ data, timeNs, linkIndex, direction, length }) => {
        const packet = meantPacket(decodeFrame(data), match);
        if (packet === undefined) return;
        const link = this.#links.nameOf(linkIndex) ?? `link ${linkIndex}`;
        const sighting: CaptureSighting = { kind: "capture", timeNs, node, namespace: this.name, link, direction, packet, length };
        this.#queue.push(sighting, this.name);
      },
      { filter: compileFilter(match) },
    );
    this.#open.push(stream);
  }
}

/** Names of links by index; asked for again when one is not known. */
class LinkNames {
  readonly #ns: NetNs;
  #names: ReadonlyMap<number, string>;

  constructor(ns: NetNs) {
    this.#ns = ns;
    this.#names = readNames(ns);
  }

  nameOf(index: number): string | undefined {
    if (!this.#names.has(index)) this.#names = readNames(this.#ns);
    return this.#names.get(index);
  }
}

function readNames(ns: NetNs): ReadonlyMap<number, string> {
  const route = openRoute(ns);
  try {
    return new Map(route.links.list().map(({ index, name }: Link) => [index, name]));
  } finally {
    route.close();
  }
}

function meantPacket(frame: Frame, match: WatchMatch): Packet | undefined {
  if (!isMeant(frame, match)) return undefined;
  const { eth: _, arp: _arp, ip, ...rest } = frame;
  return ip && cutPayload({ ...rest, ip });
}

/** A view of a large buffer would keep all of it. */
function cutPayload<P extends Partial<Packet>>(packet: P): P {
  const { payload, vxlan, icmp } = packet;
  return {
    ...packet,
    ...(payload && { payload: payload.slice(0, PAYLOAD_BYTES) }),
    ...(vxlan && { vxlan: { ...vxlan, inner: cutPayload(vxlan.inner) } }),
    ...(icmp?.about && { icmp: { ...icmp, about: cutPayload(icmp.about) } }),
  };
}
