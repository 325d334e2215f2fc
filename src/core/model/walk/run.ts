// One walk: the network as it is, what changes on the way, and what is written down.
import { FairleadError } from "#base";
import type { Choices } from "../choices.ts";
import { ConntrackTable } from "../conntrack/table.ts";
import type { Skb, Surroundings } from "../evaluate/evaluation.ts";
import type { Packet } from "../packet.ts";
import type { Memory, NetworkState } from "../state.ts";
import { DynamicStore } from "./dynamic.ts";
import { Host } from "./host.ts";
import type { ResolvedNeigh } from "./neigh.ts";
import type { By, Decision, DropReason, Hop, RefusedWith, WalkEnd } from "./result.ts";
import { surroundings } from "./surroundings.ts";

/** A state made ready for many packets. */
export interface Network {
  readonly hosts: ReadonlyMap<string, Host>;
  /** What was found out on the way, and does not change: which neighbour answers, behind which port a MAC is. */
  readonly asked: Map<string, ResolvedNeigh | null>;
  readonly portOfMac: Map<string, string | null>;
}

const HOSTS: WeakMap<NetworkState["namespaces"][number], Host> = new WeakMap();

/**
 * Indexes routes, sets and rules, once. Namespaces, tables and sets that another state had too are not indexed again: a state that
 * differs in one namespace costs one. Throws FairleadError where a rule names a set that does not exist.
 */
export function prepareNetwork({ namespaces }: NetworkState): Network {
  const hosts = new Map<string, Host>();
  for (const namespace of namespaces) {
    const known = HOSTS.get(namespace) ?? new Host(namespace);
    HOSTS.set(namespace, known);
    hosts.set(namespace.name, known);
  }
  return { hosts, asked: new Map(), portOfMac: new Map() };
}

export const EMPTY_MEMORY: Memory = { conntrack: {}, elements: {} };

export interface RunOptions {
  readonly choices: Choices;
  readonly memory: Memory;
  readonly now: number;
  /** Whether hops and decisions are written down. */
  readonly record: boolean;
}

export interface OpenHop {
  readonly namespace: string;
  readonly linkIn?: string;
  linkOut?: string;
  readonly before: Packet;
  after: Packet;
  readonly decisions: Decision[];
}

/** How a packet ended, and what the kernel says to its sender. */
export interface Ended {
  readonly end: WalkEnd;
  readonly host: Host;
  readonly skb: Skb;
  readonly answer?: Packet;
}

/** What the asker's socket waits for. */
export interface Awaited {
  readonly host: Host;
  readonly question: Packet;
}

export class Run {
  readonly network: Network;
  readonly choices: Choices;
  readonly now: number;
  readonly record: boolean;
  awaited: Awaited | undefined;
  readonly #memory: Memory;
  readonly #tables: Map<string, ConntrackTable> = new Map();
  readonly #dynamic: Map<string, DynamicStore> = new Map();
  readonly #around: Map<string, Surroundings> = new Map();
  #hops: OpenHop[] = [];
  #links = 0;

  constructor(network: Network, { choices, memory, now, record }: RunOptions) {
    this.network = network;
    this.choices = choices;
    this.now = now;
    this.record = record;
    this.#memory = memory;
  }

  host(name: string): Host {
    const host = this.network.hosts.get(name);
    if (host === undefined) throw new FairleadError(`Cannot walk: there is no namespace "${name}"`, { code: "NoSuchNamespace" });
    return host;
  }

  conntrack(host: Host): ConntrackTable {
    return remembered(this.#tables, host.name, () => new ConntrackTable(this.#memory.conntrack[host.name], this.now));
  }

  dynamic(host: Host): DynamicStore {
    return remembered(this.#dynamic, host.name, () => new DynamicStore(this.#memory.elements[host.name], this.now));
  }

  around(host: Host): Surroundings {
    return remembered(this.#around, host.name, () => surroundings(host, this.conntrack(host), this.choices));
  }

  openHop(host: Host, linkIn: string | undefined, packet: Packet): OpenHop {
    const hop: OpenHop = { namespace: host.name, ...(linkIn !== undefined && { linkIn }), before: packet, after: packet, decisions: [] };
    if (this.record) this.#hops.push(hop);
    return hop;
  }

  decide(hop: OpenHop, decision: () => Decision): void {
    if (this.record) hop.decisions.push(decision());
  }

  /** True when a packet has crossed so many links that it goes in circles: bridges have no TTL. */
  crossLink(): boolean {
    return ++this.#links > MAX_LINKS;
  }

  /** Hops since the last time. */
  takeHops(): Hop[] {
    const hops = this.#hops;
    this.#hops = [];
    this.#links = 0;
    return hops;
  }

  memory(): Memory {
    const conntrack = { ...this.#memory.conntrack };
    for (const [name, table] of this.#tables) conntrack[name] = table.entries();
    const elements = { ...this.#memory.elements };
    for (const [name, store] of this.#dynamic) elements[name] = store.entries();
    return { conntrack, elements };
  }
}

const MAX_LINKS = 256;

function remembered<T>(map: Map<string, T>, key: string, make: () => T): T {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made = make();
  map.set(key, made);
  return made;
}

export function newSkb(packet: Packet, mark = 0): Skb {
  return { packet, mark, nftrace: false, ct: undefined, ctState: "invalid", ctDirection: "original" };
}

/** Bytes of the largest piece that is on a link. */
export function sizeOf({ packet, fragment }: Skb): number {
  return fragment === undefined ? packet.length : Math.min(packet.length, fragment);
}

export function dropped(host: Host, skb: Skb, why: DropReason, by?: By): Ended {
  const end: WalkEnd = { kind: "dropped", namespace: host.name, why, packet: skb.packet, ...(by !== undefined && { by }) };
  return { end, host, skb };
}

/** `answer` undefined: nothing may be said (an error about an error), and so it is silence. */
export function refused(
  host: Host,
  skb: Skb,
  why: DropReason,
  said: { readonly with: RefusedWith; readonly answer: Packet | undefined; readonly by?: By },
): Ended {
  const { answer, by } = said;
  if (answer === undefined) return dropped(host, skb, why, by);
  const end: WalkEnd = { kind: "refused", namespace: host.name, why, with: said.with, packet: skb.packet, ...(by !== undefined && { by }) };
  return { end, host, skb, answer };
}
