// Two nodes with two pods each and an outside, in network namespaces, and a proxy on each node.
import type { Service } from "kubernetes-types/core/v1";
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import { type Logger, silentLogger } from "#base";
import { createFakeClient } from "#client/fake";
import { type Family, formatAddr, hostPrefix, parseAddr, parsePrefix } from "#ip";
import { type NetNs, netns, openRoute, type RouteSocket } from "#linux";
import { type ProxyMode, type ServiceProxy, startProxy } from "#proxy";
import { ToldInformer } from "../../bench/services/cluster.ts";
import { CIDRS } from "../../src/node/proxy/testing.ts";
import { type Closable, PORTS, type Protocol, serve } from "./peers.ts";

export type Name = "outside" | "balancer" | "node-1" | "node-2" | "a1" | "a2" | "b1" | "b2";

export interface Host {
  readonly name: Name;
  readonly ns: NetNs;
  readonly route: RouteSocket;
  readonly addrs: Readonly<Record<Family, string>>;
}

const ADDRS: Readonly<Record<Name, Readonly<Record<Family, string>>>> = {
  outside: { 4: "172.18.0.1", 6: "fd00:18::1" },
  balancer: { 4: "203.0.113.9", 6: "2001:db8:113::9" },
  "node-1": { 4: "172.18.0.11", 6: "fd00:18::11" },
  "node-2": { 4: "172.18.0.12", 6: "fd00:18::12" },
  a1: { 4: "10.244.1.2", 6: "fd00:10:244:1::2" },
  a2: { 4: "10.244.1.3", 6: "fd00:10:244:1::3" },
  b1: { 4: "10.244.2.2", 6: "fd00:10:244:2::2" },
  b2: { 4: "10.244.2.3", 6: "fd00:10:244:2::3" },
};

/** A second address of node-1, which is not the Node object's. */
export const SECOND_ADDR: Readonly<Record<Family, string>> = { 4: "172.18.0.111", 6: "fd00:18::111" };

const NODES = [
  {
    node: "node-1",
    pods: ["a1", "a2"],
    zone: "zone-a",
    gateway: { 4: "10.244.1.1", 6: "fd00:10:244:1::1" },
    cidr: { 4: "10.244.1.0/24", 6: "fd00:10:244:1::/64" },
  },
  {
    node: "node-2",
    pods: ["b1", "b2"],
    zone: "zone-b",
    gateway: { 4: "10.244.2.1", 6: "fd00:10:244:2::1" },
    cidr: { 4: "10.244.2.0/24", 6: "fd00:10:244:2::/64" },
  },
] as const;

const FAMILIES: readonly Family[] = [4, 6];
/** What the outside sends to node-1: Service addresses of all kinds. */
const VIRTUAL: readonly string[] = ["10.96.0.0/16", "fd00:10:96::/112", "192.0.2.0/24", "2001:db8:5::/64"];

/**
 * ```
 *            ┌─ eth0 172.18.0.11 node-1 ─┬─ a1 10.244.1.2      zone-a
 * outside ───┤                           └─ a2 10.244.1.3
 * 172.18.0.1 └─ eth0 172.18.0.12 node-2 ─┬─ b1 10.244.2.2      zone-b
 *     │                                  └─ b2 10.244.2.3
 *     └ balancer 203.0.113.9, which ends connections itself
 * ```
 * All of them answer at 8080 and 8081. The outside has routes to pods, and sends Service addresses to node-1.
 */
export class Topology {
  readonly hosts: Readonly<Record<Name, Host>>;
  readonly #services = new ToldInformer<Service>();
  readonly #slices = new ToldInformer<EndpointSlice>();
  readonly #servers: Closable[] = [];
  #proxies: ServiceProxy[] = [];

  constructor() {
    this.hosts = Object.fromEntries(Object.keys(ADDRS).map((name) => [name, createHost(name as Name)])) as Record<Name, Host>;
    this.#underlay();
    this.#balancer();
    for (const { node, pods, gateway } of NODES) for (const pod of pods) this.#pod(this.hosts[node], this.hosts[pod], gateway);
  }

  serve(protocols: readonly Protocol[]): void {
    for (const host of Object.values(this.hosts)) {
      // An "unreachable" that comes while connect(2) still runs is not heard; the next one is, after a second attempt.
      if (protocols.includes("SCTP")) for (const rto of ["rto_min", "rto_initial"]) host.ns.setSysctl(`net.sctp.${rto}`, 300);
      for (const protocol of protocols) for (const port of PORTS) this.#servers.push(...serve(host, protocol, port));
    }
  }

  /** Resolves when both proxies have nothing to do. */
  async start(mode: ProxyMode): Promise<void> {
    const logger: Logger = { ...silentLogger, error: (message, fields) => console.error(message, fields), child: () => logger };
    this.#proxies = NODES.map(({ node, zone, cidr }) =>
      startProxy({
        mode,
        netns: this.hosts[node].ns,
        client: createFakeClient(),
        node: { name: node, zone, addresses: FAMILIES.map((family) => parseAddr(ADDRS[node][family])) },
        ...CIDRS,
        localPodCidrs: FAMILIES.map((family) => parsePrefix(cidr[family])),
        logger,
        informers: { services: this.#services, slices: this.#slices },
      }),
    );
    await Promise.all(this.#proxies.map(({ synced }) => synced));
  }

  set(service: Service, slices: readonly EndpointSlice[]): void {
    this.#services.set(service as Parameters<ToldInformer<Service>["set"]>[0]);
    for (const slice of slices) this.#slices.set(slice as Parameters<ToldInformer<EndpointSlice>["set"]>[0]);
  }

  async settled(): Promise<void> {
    await Promise.all(this.#proxies.map((proxy) => proxy.idle()));
  }

  close(): void {
    for (const proxy of this.#proxies) proxy.stop();
    for (const server of this.#servers) server.close();
    for (const { route, ns } of Object.values(this.hosts)) {
      route.close();
      ns.close();
    }
  }

  #underlay(): void {
    const { outside } = this.hosts;
    outside.route.links.add({ name: "br0", type: { kind: "bridge" }, up: true });
    for (const family of FAMILIES) {
      outside.route.addrs.set({ link: "br0", prefix: onUnderlay(outside.addrs[family]) });
    }
    outside.ns.setSysctl("net.ipv4.ip_forward", 1);
    outside.ns.setSysctl("net.ipv6.conf.all.forwarding", 1);
    for (const { node } of NODES) {
      const { ns, route, addrs } = this.hosts[node];
      outside.route.links.add({ name: node, type: { kind: "veth", peer: { name: "eth0", netns: ns } }, master: "br0", up: true });
      route.links.change("eth0", { up: true });
      for (const family of FAMILIES) {
        route.addrs.set({ link: "eth0", prefix: onUnderlay(addrs[family]) });
        route.routes.set({
          dst: parsePrefix(family === 4 ? "0.0.0.0/0" : "::/0"),
          nextHops: [{ via: parseAddr(outside.addrs[family]), link: "eth0" }],
        });
      }
      for (const sysctl of ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"]) ns.setSysctl(sysctl, 1);
      // The kernel sends one client six ICMP errors, and then one a second (inet_peer_xrlim_allow): too few for a matrix in a hurry.
      for (const sysctl of ["net.ipv4.icmp_ratelimit", "net.ipv6.icmp.ratelimit"]) ns.setSysctl(sysctl, 0);
    }
    for (const { node, cidr } of NODES) {
      for (const other of Object.values(this.hosts).filter(
        ({ name }) => name === "outside" || (name.startsWith("node-") && name !== node),
      )) {
        const link = other.name === "outside" ? "br0" : "eth0";
        for (const family of FAMILIES) {
          other.route.routes.set({ dst: parsePrefix(cidr[family]), nextHops: [{ via: parseAddr(ADDRS[node][family]), link }] });
        }
      }
    }
    for (const text of VIRTUAL) {
      const dst = parsePrefix(text);
      outside.route.routes.set({ dst, nextHops: [{ via: parseAddr(ADDRS["node-1"][dst.addr.family]), link: "br0" }] });
    }
    for (const family of FAMILIES) this.hosts["node-1"].route.addrs.set({ link: "eth0", prefix: onUnderlay(SECOND_ADDR[family]) });
  }

  #balancer(): void {
    const { outside, balancer } = this.hosts;
    outside.route.links.add({ name: "balancer", type: { kind: "veth", peer: { name: "eth0", netns: balancer.ns } }, up: true });
    balancer.route.links.change("eth0", { up: true });
    for (const family of FAMILIES) {
      const addr = hostPrefix(parseAddr(balancer.addrs[family]));
      // A neighbour may be asked for any IPv4 address of the host, but for IPv6 only for those of the link. An IPv4 address more would
      // be one more that SCTP may choose.
      const via = parseAddr(family === 4 ? outside.addrs[4] : "2001:db8:113::1");
      if (family === 6) outside.route.addrs.set({ link: "balancer", prefix: hostPrefix(via) });
      outside.route.routes.set({ dst: addr, nextHops: [{ link: "balancer" }], scope: "link" });
      balancer.route.addrs.set({ link: "eth0", prefix: addr });
      balancer.route.routes.set({ dst: hostPrefix(via), nextHops: [{ link: "eth0" }], scope: "link" });
      balancer.route.routes.set({ dst: parsePrefix(family === 4 ? "0.0.0.0/0" : "::/0"), nextHops: [{ via, link: "eth0" }] });
    }
  }

  #pod(node: Host, pod: Host, gateways: Readonly<Record<Family, string>>): void {
    node.route.links.add({ name: pod.name, type: { kind: "veth", peer: { name: "eth0", netns: pod.ns } }, up: true });
    pod.route.links.change("eth0", { up: true });
    for (const family of FAMILIES) {
      const gateway = parseAddr(gateways[family]);
      const addr = hostPrefix(parseAddr(pod.addrs[family]));
      node.route.addrs.set({ link: pod.name, prefix: hostPrefix(gateway) });
      node.route.routes.set({ dst: addr, nextHops: [{ link: pod.name }], scope: "link" });
      pod.route.addrs.set({ link: "eth0", prefix: addr });
      pod.route.routes.set({ dst: hostPrefix(gateway), nextHops: [{ link: "eth0" }], scope: "link" });
      pod.route.routes.set({ dst: parsePrefix(family === 4 ? "0.0.0.0/0" : "::/0"), nextHops: [{ via: gateway, link: "eth0" }] });
    }
  }
}

function onUnderlay(text: string): ReturnType<typeof parsePrefix> {
  const addr = parseAddr(text);
  return { addr, bits: addr.family === 4 ? 16 : 64 };
}

function createHost(name: Name): Host {
  const ns = netns.createAnonymous();
  const route = openRoute(ns);
  // An address answers at once, and not after the second in which others may object to it.
  for (const which of ["all", "default"]) ns.setSysctl(`net.ipv6.conf.${which}.accept_dad`, 0);
  route.links.change("lo", { up: true });
  return { name, ns, route, addrs: ADDRS[name] };
}

/** The node that a pod is on. */
export function nodeOf(name: string): string | undefined {
  return NODES.find(({ pods }) => (pods as readonly string[]).includes(name))?.node;
}

export function addrOf(name: Name, family: Family): string {
  return formatAddr(parseAddr(ADDRS[name][family]));
}
