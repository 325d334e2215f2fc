// What a fake namespace consists of, and what all parts of the fake do: refuse, emit.
import type { Addr, Mac, Prefix } from "#ip";
import { errnoNumber, KernelError } from "../kernel-error.ts";
import type { BridgePort, ConntrackEntry, Fdb, LinkKind, Neigh, NetNs, Route, RouteEvent, Rule } from "../types.ts";

export interface FakeLink {
  readonly type: LinkKind | { readonly kind: "" };
  ns: FakeState;
  index: number;
  name: string;
  mac: Mac | undefined;
  mtu: number;
  up: boolean;
  master: FakeLink | undefined;
  bridgePort: BridgePort | undefined;
  readonly parent: FakeLink | undefined;
  peer: FakeLink | undefined;
}

export interface FakeAddr {
  readonly link: FakeLink;
  readonly prefix: Prefix;
  readonly noDad: boolean;
}

export interface FakeHop {
  readonly via: Addr | undefined;
  readonly link: FakeLink;
  readonly onlink: boolean;
  readonly weight: number;
}

export interface FakeRoute {
  readonly dst: Prefix;
  readonly type: NonNullable<Route["type"]>;
  readonly hops: readonly FakeHop[];
  readonly src: Addr | undefined;
  readonly mtu: number | undefined;
  readonly metric: number;
  readonly table: number;
  readonly protocol: number;
  readonly scope: NonNullable<Route["scope"]>;
}

/** Proxy entries are apart from others of the same address. */
export interface FakeNeigh extends Omit<Neigh, "link"> {
  readonly link: FakeLink;
}

export interface FakeFdb extends Omit<Fdb, "link"> {
  readonly link: FakeLink;
}

export interface FakeOptions {
  /** Kinds of links that this kernel does not have: adding one is EOPNOTSUPP. */
  readonly missingKinds?: readonly LinkKind["kind"][];
}

/** The kernel inside one namespace. */
export class FakeState {
  readonly options: FakeOptions;
  readonly links: Map<string, FakeLink> = new Map();
  addrs: FakeAddr[] = [];
  routes: FakeRoute[] = [];
  rules: Rule[] = [];
  neighs: FakeNeigh[] = [];
  fdb: FakeFdb[] = [];
  conntrack: ConntrackEntry[] = [];
  readonly sysctls: Map<string, string> = new Map();
  /** Says the errno with which an operation is to fail: `(op) => op.startsWith("set route") ? "ENOMEM" : undefined`. */
  refuse: ((op: string) => string | undefined) | undefined;
  #listeners = new Set<(event: RouteEvent) => void>();

  constructor(options: FakeOptions) {
    this.options = options;
    for (const [priority, table] of [
      [0, 255],
      [32_766, 254],
      [32_767, 253],
    ] as const) {
      this.rules.push({ family: 4, priority, table });
      if (table !== 253) this.rules.push({ family: 6, priority, table });
    }
  }

  /** The link, or ENODEV. */
  link(name: string, op: string): FakeLink {
    const link = this.links.get(name);
    if (link === undefined) throw refusal(op, "ENODEV", `there is no link "${name}"`);
    return link;
  }

  /** The lowest free index. */
  freeIndex(wanted?: number): number {
    const taken = new Set([...this.links.values()].map((link) => link.index));
    if (wanted !== undefined && !taken.has(wanted)) return wanted;
    let index = 1;
    while (taken.has(index)) index++;
    return index;
  }

  /** Gives a test's `refuse` its say. */
  begin(op: string): string {
    const code = this.refuse?.(op);
    if (code !== undefined) throw refusal(op, code, "refused by the test");
    return op;
  }

  emit(object: RouteEvent["object"], action: RouteEvent["action"], link?: string): void {
    const event: RouteEvent = { object, action, ...(link !== undefined && { link }) };
    for (const listener of this.#listeners) {
      setImmediate(() => {
        if (this.#listeners.has(listener)) listener(event);
      });
    }
  }

  watch(listener: (event: RouteEvent) => void): { close(): void } {
    // A function of its own, so that one listener may watch twice.
    const own = (event: RouteEvent): void => listener(event);
    this.#listeners.add(own);
    return { close: () => void this.#listeners.delete(own) };
  }
}

export function refusal(op: string, code: string, detail?: string): KernelError {
  return new KernelError({ op, errno: errnoNumber(code), detail });
}

const states = new WeakMap<NetNs, FakeState>();

export function rememberState(ns: NetNs, state: FakeState): void {
  states.set(ns, state);
}

export function stateOf(ns: NetNs): FakeState {
  const state = states.get(ns);
  if (state === undefined) throw new TypeError(`${ns.path} is not a namespace of the fake kernel`);
  return state;
}
