// Two nodes with the nine pods of the upstream suite and a DNS server, as data: the kernel and the model are made from the same.
//
//               ┌─ eth0 172.18.0.11 node-1 ─┬─ x/a x/c y/b z/a z/c, and kube-system/dns
//   underlay ───┤                           └─ (10.244.1.0/24)
//               └─ eth0 172.18.0.12 node-2 ─── x/b y/a y/c z/b   (10.244.2.0/24)
import type { Namespace as ApiNamespace, Pod, Service } from "kubernetes-types/core/v1";
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import { FAMILIES, type Family, hostPrefix, type Mac, parseAddr, parseMac, parsePrefix } from "#ip";
import type { Link, Namespace, NetworkState, Route } from "#model";
import { SCTP, TCP, UDP } from "#model";

export type Protocol = "TCP" | "UDP" | "SCTP";

export const PROTOCOL_NUMBERS: Readonly<Record<Protocol, number>> = { TCP, UDP, SCTP };

/** Where every pod answers, over every protocol. */
export const PORTS: readonly number[] = [80, 81];

/** Ports of Services: an address is asked at the first pair, a name at the second; so that what is seen of both stays apart. */
export const SERVICE_PORTS: Readonly<Record<"service" | "name", number>> = { service: 8000, name: 9000 };

export interface Place {
  /** `namespace/name`. */
  readonly key: string;
  readonly node: "node-1" | "node-2";
  readonly addrs: Readonly<Record<Family, string>>;
  readonly vip: Readonly<Record<Family, string>>;
}

const NODE_ADDRS: Readonly<Record<Place["node"], Readonly<Record<Family, string>>>> = {
  "node-1": { 4: "172.18.0.11", 6: "fd00:18::11" },
  "node-2": { 4: "172.18.0.12", 6: "fd00:18::12" },
};

const NODES = ["node-1", "node-2"] as const;

function place(key: string, n: number): Place {
  const node = n % 2 === 0 ? "node-1" : "node-2";
  const net = node.slice(-1);
  return {
    key,
    node,
    addrs: { 4: `10.244.${net}.${n + 10}`, 6: `fd00:10:244:${net}::${(n + 10).toString(16)}` },
    vip: { 4: `10.96.0.${n + 10}`, 6: `fd00:10:96::${(n + 10).toString(16)}` },
  };
}

export const PLACES: readonly Place[] = ["x", "y", "z"].flatMap((ns, i) =>
  ["a", "b", "c"].map((name, j) => place(`${ns}/${name}`, 3 * i + j)),
);

export const DNS: Place = place("kube-system/dns", 10);

const ALL: readonly Place[] = [...PLACES, DNS];

export function placeOf(key: string): Place {
  const found = ALL.find((each) => each.key === key);
  if (found === undefined) throw new Error(`there is no pod ${key}`);
  return found;
}

export function nodeAddr(node: Place["node"], family: Family): string {
  return NODE_ADDRS[node][family];
}

export function podCidr(node: Place["node"], family: Family): string {
  return family === 4 ? `10.244.${node.slice(-1)}.0/24` : `fd00:10:244:${node.slice(-1)}::/64`;
}

const gateway = (node: Place["node"], family: Family): string => podCidr(node, family).replace(/[0:]+\/\d+$/, family === 4 ? "1" : "::1");

/** A link's name: at most 15 bytes, no slash. */
function linkOf({ key }: Place): string {
  return key.replace("/", "-");
}

/** Written down on both sides, as those of the cluster's pods are: a neighbour that has to be asked may have no room in a busy kernel. */
const macOf = (last: number, side: 0 | 1): Mac => parseMac(`02:00:00:00:0${side}:${last.toString(16).padStart(2, "0")}`);
const podMac = (pod: Place, side: 0 | 1): Mac => macOf(0x10 + ALL.indexOf(pod), side);
const nodeMac = (node: Place["node"]): Mac => macOf(Number(node.slice(-1)), 0);

const LO: Link = { name: "lo", type: { kind: "loopback" }, up: true };
const EVERYWHERE: Readonly<Record<Family, string>> = { 4: "0.0.0.0/0", 6: "::/0" };
const FORWARDING: Readonly<Record<string, number>> = { "net/ipv4/ip_forward": 1, "net/ipv6/conf/all/forwarding": 1 };

function via(dst: string, addr: string, link: string): Route {
  return { dst: parsePrefix(dst), nextHops: [{ via: parseAddr(addr), link }] };
}

function onLink(addr: string, link: string): Route {
  return { dst: hostPrefix(parseAddr(addr)), nextHops: [{ link }] };
}

function podNamespace(pod: Place, protocols: readonly Protocol[]): Namespace {
  return {
    name: pod.key,
    links: [LO, { name: "eth0", mac: podMac(pod, 1), type: { kind: "veth", peer: { namespace: pod.node, link: linkOf(pod) } }, up: true }],
    addrs: FAMILIES.map((family) => ({ link: "eth0", prefix: hostPrefix(parseAddr(pod.addrs[family])) })),
    routes: FAMILIES.flatMap((family) => [
      onLink(gateway(pod.node, family), "eth0"),
      via(EVERYWHERE[family], gateway(pod.node, family), "eth0"),
    ]),
    neighs: FAMILIES.map((family) => ({ link: "eth0", addr: parseAddr(gateway(pod.node, family)), mac: podMac(pod, 0) })),
    listeners:
      pod === DNS
        ? [{ protocol: UDP, port: 53 }]
        : protocols.flatMap((protocol) => PORTS.map((port) => ({ protocol: PROTOCOL_NUMBERS[protocol], port, name: pod.key }))),
  };
}

function nodeNamespace(node: Place["node"]): Namespace {
  const pods = ALL.filter((pod) => pod.node === node);
  const others = NODES.filter((other) => other !== node);
  const veth = (pod: Place): Link => ({
    name: linkOf(pod),
    mac: podMac(pod, 0),
    type: { kind: "veth", peer: { namespace: pod.key, link: "eth0" } },
    up: true,
  });
  return {
    name: node,
    links: [
      LO,
      { name: "eth0", mac: nodeMac(node), type: { kind: "veth", peer: { namespace: "underlay", link: node } }, up: true },
      ...pods.map(veth),
    ],
    addrs: FAMILIES.flatMap((family) => [
      { link: "eth0", prefix: { addr: parseAddr(NODE_ADDRS[node][family]), bits: family === 4 ? 16 : 64 } },
      ...pods.map((pod) => ({ link: linkOf(pod), prefix: hostPrefix(parseAddr(gateway(node, family))) })),
    ]),
    routes: FAMILIES.flatMap((family) => [
      ...pods.map((pod) => onLink(pod.addrs[family], linkOf(pod))),
      ...others.map((other) => via(podCidr(other, family), NODE_ADDRS[other][family], "eth0")),
    ]),
    neighs: FAMILIES.flatMap((family) => [
      ...pods.map((pod) => ({ link: linkOf(pod), addr: parseAddr(pod.addrs[family]), mac: podMac(pod, 1) })),
      ...others.map((other) => ({ link: "eth0", addr: parseAddr(NODE_ADDRS[other][family]), mac: nodeMac(other) })),
    ]),
    sysctls: FORWARDING,
  };
}

/** Without what nodes put into nf_tables. */
export function networkState(protocols: readonly Protocol[]): NetworkState {
  const underlay: Namespace = {
    name: "underlay",
    links: [
      LO,
      { name: "br0", type: { kind: "bridge" }, up: true },
      ...NODES.map(
        (node): Link => ({ name: node, type: { kind: "veth", peer: { namespace: node, link: "eth0" } }, up: true, master: "br0" }),
      ),
    ],
    addrs: [],
    routes: [],
  };
  return { namespaces: [underlay, ...NODES.map(nodeNamespace), ...ALL.map((pod) => podNamespace(pod, protocols))] };
}

/** Labels and named ports that selectors and rules can tell apart. */
export function podObject(pod: Place): Pod {
  const [namespace = "", name = ""] = pod.key.split("/");
  const serve = PORTS.flatMap((port) =>
    (["TCP", "UDP", "SCTP"] as const).map((protocol) => ({
      name: `serve-${port}-${protocol.toLowerCase()}`,
      protocol,
      containerPort: port,
    })),
  );
  const number = name === "c" ? 81 : 80;
  const own = [
    { name: "web", protocol: "TCP" as const, containerPort: number },
    ...(name === "a" ? [] : [{ name: "ask", protocol: "UDP" as const, containerPort: number }]),
  ];
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { namespace, name, uid: pod.key, labels: { pod: name, ...(name !== "c" && { tier: name === "a" ? "front" : "" }) } },
    spec: { nodeName: pod.node, containers: [{ name: "c", ports: pod === DNS ? [] : [...serve, ...own] }] },
    status: { phase: "Running", podIP: pod.addrs[4], podIPs: FAMILIES.map((family) => ({ ip: pod.addrs[family] })) },
  };
}

export function namespaceObjects(): ApiNamespace[] {
  return ["x", "y", "z", "kube-system"].map((name) => ({
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name, labels: { ns: name, "kubernetes.io/metadata.name": name, ...(name === "z" && { team: "far" }) } },
  }));
}

function servicePorts(pod: Place): { name: string; protocol: Protocol; port: number; targetPort: number }[] {
  if (pod === DNS) return [{ name: "dns", protocol: "UDP", port: 53, targetPort: 53 }];
  return PORTS.flatMap((targetPort) =>
    (["TCP", "UDP", "SCTP"] as const).flatMap((protocol) =>
      Object.entries(SERVICE_PORTS).map(([how, base]) => ({
        name: `${how}-${targetPort}-${protocol.toLowerCase()}`,
        protocol,
        port: base + targetPort,
        targetPort,
      })),
    ),
  );
}

/** One for each pod, `s-NAME`: its ports are not the pod's. */
export function serviceObjects(pod: Place): { readonly service: Service; readonly slices: EndpointSlice[] } {
  const [namespace = "", own = ""] = pod.key.split("/");
  const name = pod === DNS ? "kube-dns" : `s-${own}`;
  const ports = servicePorts(pod);
  const service: Service = {
    apiVersion: "v1",
    kind: "Service",
    metadata: { namespace, name, uid: `service ${pod.key}` },
    spec: {
      type: "ClusterIP",
      clusterIP: pod.vip[4],
      clusterIPs: FAMILIES.map((family) => pod.vip[family]),
      ipFamilies: ["IPv4", "IPv6"],
      ports,
    },
  };
  const slices = FAMILIES.map(
    (family): EndpointSlice => ({
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { namespace, name: `${name}-${family}`, uid: `slice ${pod.key} ${family}`, labels: { "kubernetes.io/service-name": name } },
      addressType: `IPv${family}`,
      endpoints: [{ addresses: [pod.addrs[family]], conditions: { ready: true }, nodeName: pod.node }],
      ports: ports.map(({ name: portName, protocol, targetPort }) => ({ name: portName, protocol, port: targetPort })),
    }),
  );
  return { service, slices };
}

export function serviceName({ key }: Place): string {
  const [namespace = "", name = ""] = key.split("/");
  return `s-${name}.${namespace}.svc.cluster.local`;
}
