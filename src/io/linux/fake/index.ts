/** A kernel in memory with the shape of `#linux`: namespaces, route sockets, conntrack. No packets move in it. */
import type { ConntrackEntry, ConntrackSocket, NetNs, RouteSocket } from "../types.ts";
import { fakeAddrs } from "./addrs.ts";
import { fakeLinks } from "./links.ts";
import { fakeFdb, fakeNeighs, fakeRules } from "./neighs.ts";
import { FakeNamespaces } from "./netns.ts";
import { fakeRoutes } from "./routes.ts";
import { type FakeOptions, type FakeState, stateOf } from "./state.ts";

export { FakeIpvs } from "../ipvs/fake.ts";
export { FakeNft, type FakeNftOptions } from "../nftables/fake.ts";
export type { FakeOptions } from "./state.ts";

/** One machine. Accepts and refuses as Linux does, with its error codes; link-local addresses are not made by themselves. */
export class FakeKernel {
  readonly netns: FakeNamespaces;

  constructor(options: FakeOptions = {}) {
    this.netns = new FakeNamespaces(options);
  }

  readonly openRoute = (ns: NetNs): RouteSocket => {
    const state = stateOf(ns);
    return {
      links: fakeLinks(state),
      addrs: fakeAddrs(state),
      routes: fakeRoutes(state),
      rules: fakeRules(state),
      neighs: fakeNeighs(state),
      fdb: fakeFdb(state),
      watch: (listener, objects) =>
        state.watch((event) => {
          if (objects === undefined || objects.includes(event.object)) listener(event);
        }),
      close() {},
    };
  };

  readonly openConntrack = (ns: NetNs): ConntrackSocket => {
    const state = stateOf(ns);
    return {
      use: () => ({ count: state.conntrack.length, max: 0 }),
      list: (family) => state.conntrack.filter((entry) => family === undefined || entry.original.src.family === family),
      del: (entry) => delEntry(state, entry),
      delMany: (entries) => entries.filter((entry) => delEntry(state, entry)).length,
      close() {},
    };
  };

  /** Puts flows into a namespace, as packets would. */
  setConntrack(ns: NetNs, entries: readonly ConntrackEntry[]): void {
    stateOf(ns).conntrack = [...entries];
  }

  /** From now on operations in `ns` fail with the errno that `refuse` names, until it is set again. */
  refuse(ns: NetNs, refuse: ((op: string) => string | undefined) | undefined): void {
    stateOf(ns).refuse = refuse;
  }
}

function delEntry(state: FakeState, entry: ConntrackEntry): boolean {
  const at = state.conntrack.findIndex((other) => other.id === entry.id);
  if (at >= 0) state.conntrack.splice(at, 1);
  return at >= 0;
}
