// What the kernel and the fake have in common, for the contract suite that runs over both.
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { formatAddr, formatMac, formatPrefix, parseAddr, parseMac, parsePrefix } from "#ip";
import { KernelError } from "../kernel-error.ts";
import type { NetNs, NewLink, NextHop, Route, RouteSocket } from "../types.ts";

export interface Network {
  readonly netns: {
    create(path: string): NetNs;
    createAnonymous(): NetNs;
    open(path: string): NetNs;
    delete(path: string): void;
  };
  readonly openRoute: (ns: NetNs) => RouteSocket;
  /** A path that nothing is at, in a folder that is there. */
  readonly freePath: () => string;
}

export interface World {
  readonly ns: NetNs;
  readonly route: RouteSocket;
  readonly other: NetNs;
  readonly otherRoute: RouteSocket;
  readonly t: TestContext;
}

/** A test with two fresh namespaces, which are gone after it. */
export function worldTest(network: Network, name: string, run: (world: World) => void | Promise<void>): void {
  test(name, async (t) => {
    const ns = network.netns.createAnonymous();
    const other = network.netns.createAnonymous();
    const route = network.openRoute(ns);
    const otherRoute = network.openRoute(other);
    try {
      await run({ ns, route, other, otherRoute, t });
    } finally {
      for (const open of [route, otherRoute, ns, other]) open.close();
    }
  });
}

export const addr: typeof parseAddr = parseAddr;
export const prefix: typeof parsePrefix = parsePrefix;
export const mac: typeof parseMac = parseMac;

/** Asserts that `run` is refused with the errno, and by a message that matches. */
export function refused(run: () => unknown, code: string, message?: RegExp): void {
  assert.throws(run, (err: unknown) => {
    assert.ok(err instanceof KernelError, String(err));
    assert.equal(err.code, code, err.message);
    if (message !== undefined) assert.match(err.message, message);
    return true;
  });
}

/** Adds a link of a kind that some kernels do not have; false (and a skip with the reason) where this one has not. */
export function addOrSkip(t: TestContext, route: RouteSocket, link: NewLink): boolean {
  try {
    route.links.add(link);
    return true;
  } catch (err) {
    const missing = link.type.kind === "tun" ? ["EACCES", "ENOENT"] : ["EOPNOTSUPP"];
    if (!(err instanceof KernelError) || !missing.includes(err.code)) throw err;
    t.skip(link.type.kind === "tun" ? err.message : `this kernel has no links of kind ${link.type.kind}`);
    return false;
  }
}

/** A veth pair v0 and v1 in one namespace, v1 up. v0 gets the addresses and comes up. */
export function addVeth(route: RouteSocket, ...prefixes: string[]): void {
  route.links.add({ name: "v0", type: { kind: "veth", peer: { name: "v1" } } });
  for (const name of ["v0", "v1"]) route.links.change(name, { addrGenModeNone: true, up: true });
  for (const text of prefixes) route.addrs.set({ link: "v0", prefix: parsePrefix(text) });
}

function formatHop(hop: NextHop): string {
  const via = hop.via === undefined ? "" : ` via ${formatAddr(hop.via)}`;
  return `${via}${hop.link === undefined ? "" : ` dev ${hop.link}`}${hop.onlink === true ? " onlink" : ""}${hop.weight === undefined ? "" : ` weight ${hop.weight}`}`;
}

/** One line per route, about as `ip route` prints it. */
export function formatRoute(route: Route): string {
  const type = route.type === "unicast" ? "" : `${route.type} `;
  const hops = route.nextHops.map(formatHop).join(",");
  const rest = [
    route.src && `src ${formatAddr(route.src)}`,
    route.mtu !== undefined && `mtu ${route.mtu}`,
    route.metric !== undefined && `metric ${route.metric}`,
    route.table !== 254 && `table ${route.table}`,
    `proto ${route.protocol}`,
    route.scope !== undefined && route.scope !== "global" && `scope ${route.scope}`,
  ];
  return [`${type}${formatPrefix(route.dst)}${hops}`, ...rest.filter((part) => typeof part === "string")].join(" ");
}

export function routesIn(route: RouteSocket, table = 254): string[] {
  return route.routes
    .list({ table })
    .filter((r) => !formatPrefix(r.dst).startsWith("fe80:"))
    .map(formatRoute)
    .sort();
}

export { formatAddr, formatMac, formatPrefix };
