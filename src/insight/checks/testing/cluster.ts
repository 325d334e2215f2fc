// A small healthy cluster, as its agents would tell of it: what the API wants is what the kernels hold.
import type { Namespace, Node, Pod, Service } from "kubernetes-types/core/v1";
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import { parseAddr, parsePrefix } from "#ip";
import { keyOf, type Stored, type StoredMeta } from "#kube";
import type * as model from "#model";
import type { ProbeResult } from "#observe";
import { type ShadowObjects, shadowNetwork } from "#shadow";
import { DNS_TYPE, decodeDns, encodeDns } from "#wire";
import { planProbes } from "../probes.ts";
import type { ClusterSettings, DoneProbe, Facts, PlannedProbe } from "../types.ts";

type Report = NonNullable<Facts["answers"][number]["report"]>;
type Observed = Report["namespaces"][number];

export function meta(key: string, labels: Readonly<Record<string, string>> = {}): StoredMeta {
  const [first = "", name] = key.split("/");
  const id = name === undefined ? { name: first } : { namespace: first, name };
  return { ...id, uid: `uid of ${key}`, resourceVersion: "1", creationTimestamp: "2026-01-01T00:00:00Z", labels };
}

function node(n: number): Stored<Node> {
  const podCIDRs = [`10.244.${n}.0/24`, `fd00:10:244:${n}::/64`];
  const addresses = [`172.18.0.${10 + n}`, `fd00:18::${10 + n}`].map((address) => ({ type: "InternalIP", address }));
  const conditions = [{ type: "Ready", status: "True" }];
  return { apiVersion: "v1", kind: "Node", metadata: meta(`node-${n}`), spec: { podCIDRs }, status: { addresses, conditions } };
}

function pod(key: string, at: number, n: number): Stored<Pod> {
  const podIPs = [`10.244.${at}.${n}`, `fd00:10:244:${at}::${n}`].map((ip) => ({ ip }));
  const containers = [{ name: "c", image: "i", ports: [{ containerPort: 8080 }] }];
  const metadata = meta(key, { app: key.split("/")[1] ?? "" });
  return { apiVersion: "v1", kind: "Pod", metadata, spec: { nodeName: `node-${at}`, containers }, status: { phase: "Running", podIPs } };
}

function service(key: string, clusterIPs: string[], port: number): Stored<Service> {
  const spec = { type: "ClusterIP", clusterIP: clusterIPs[0] ?? "", clusterIPs, ports: [{ port, targetPort: 8080 }] };
  return { apiVersion: "v1", kind: "Service", metadata: meta(key), spec };
}

function slice(key: string, pods: readonly Stored<Pod>[]): Stored<EndpointSlice> {
  const metadata = { ...meta(`${key}-4`), labels: { "kubernetes.io/service-name": key.split("/")[1] ?? "" } };
  const endpoints = pods.map(({ spec, status }) => ({
    addresses: [status?.podIPs?.[0]?.ip ?? ""],
    conditions: { ready: true },
    nodeName: spec?.nodeName ?? "",
  }));
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata,
    addressType: "IPv4",
    endpoints,
    ports: [{ port: 8080, protocol: "TCP" }],
  };
}

export const SETTINGS: ClusterSettings = {
  podCidrs: ["10.244.0.0/16", "fd00:10:244::/56"].map((text) => parsePrefix(text)),
  serviceCidrs: ["10.96.0.0/16", "fd00:10:96::/112"].map((text) => parsePrefix(text)),
  clusterDomain: "cluster.local",
  overlay: "vxlan",
  policyEstablished: "cut",
  proxyMode: "nftables",
  isSandbox: true,
};

const WEB = pod("x/web", 1, 2);
const DB = pod("x/db", 2, 2);
const NAMESPACES: Stored<Namespace>[] = ["x", "default", "kube-system"].map((name) => ({
  apiVersion: "v1",
  kind: "Namespace",
  metadata: meta(name),
}));

export const OBJECTS: ShadowObjects = {
  nodes: [node(1), node(2), node(3)],
  namespaces: NAMESPACES,
  pods: [WEB, DB],
  services: [
    service("default/kubernetes", ["10.96.0.1", "fd00:10:96::1"], 443),
    service("kube-system/kube-dns", ["10.96.0.10", "fd00:10:96::a"], 53),
    service("x/db", ["10.96.0.20", "fd00:10:96::14"], 80),
  ],
  endpointSlices: [slice("x/db", [DB, WEB])],
  networkPolicies: [
    {
      apiVersion: "networking.k8s.io/v1",
      kind: "NetworkPolicy",
      metadata: meta("x/db"),
      spec: {
        podSelector: { matchLabels: { app: "db" } },
        ingress: [{ from: [{ ipBlock: { cidr: "172.18.0.11/32" } }], ports: [{ port: 8080 }] }],
      },
    },
  ],
};

/** The API's objects, and kernels that hold what they say. */
export function healthy(objects: ShadowObjects = OBJECTS, settings: ClusterSettings = SETTINGS): Facts {
  const desired = shadowNetwork(objects, settings);
  const answers = objects.nodes.map(({ metadata: { name } }, i) => ({
    node: name,
    askedMs: 1000 * i,
    answeredMs: 1000 * i + 10,
    report: reportOf(name, objects, desired, 1000 * i + 5),
    leases: objects.pods
      .filter(({ spec }) => spec?.nodeName === name)
      .flatMap((own) => own.status?.podIPs?.map(({ ip }) => ({ addr: ip ?? "", containerId: `sandbox of ${keyOf(own)}` })) ?? []),
  }));
  const known = { settings, objects, answers, desired };
  return { ...known, probes: planProbes(known).map(answered) };
}

function reportOf(name: string, objects: ShadowObjects, desired: model.NetworkState, timeMs: number): Report {
  const own = objects.pods.filter(({ spec }) => spec?.nodeName === name).map(keyOf);
  const namespaces = [name, ...own].flatMap((key) => desired.namespaces.find((one) => one.name === key) ?? []);
  return { node: name, timeMs, machine: "m", problems: [], namespaces: namespaces.map((state) => observed(state, namespaces)) };
}

/** Links on the node are named after the sandbox, of which the API knows nothing. */
function hostName(link: string): string {
  return link.startsWith("veth") ? `${link.slice(0, 8)}real` : link;
}

function observed(state: model.Namespace, all: readonly model.Namespace[]): Observed {
  const indexOf = (namespace: model.Namespace | undefined, name: string): number =>
    (namespace?.links.findIndex((link) => link.name === name) ?? 0) + 1;
  const isNode = !state.name.includes("/");
  const rename = <T extends { readonly link: string }>(one: T): T => ({ ...one, link: hostName(one.link) });
  return {
    role: isNode ? "node" : "pod",
    ...(!isNode && { pod: { namespace: "", name: "", uid: "", sandboxId: `sandbox of ${state.name}` } }),
    inode: all.indexOf(state) + 100,
    conntrack: { count: 1, max: 1000 },
    sockets: [],
    ends: state.links.flatMap(({ name, type }) => {
      if (type.kind !== "veth") return [];
      const peer = all.find((one) => one.name === type.peer.namespace);
      const end = { link: hostName(name), index: indexOf(state, name), peerIndex: indexOf(peer, type.peer.link) };
      return [{ ...end, ...(peer !== undefined && { peerInode: all.indexOf(peer) + 100 }) }];
    }),
    state: {
      ...state,
      links: state.links.map((link, i) => ({
        ...link,
        index: i + 1,
        name: hostName(link.name),
        type: link.type.kind === "veth" ? { kind: "other", name: "veth" } : link.type,
      })),
      neighs: (state.neighs ?? []).map((one): model.Neigh => ({ ...rename(one), state: "permanent" })),
      fdb: (state.fdb ?? []).map(rename),
      sysctls: { "net/ipv4/ip_forward": 1, "net/ipv6/conf/all/forwarding": 1, "net/ipv4/conf/all/rp_filter": 0, ...state.sysctls },
    },
  };
}

function answered(planned: PlannedProbe): DoneProbe {
  const result: ProbeResult = { outcome: "answered" };
  return { ...planned, result: planned.purpose === "dns" ? { ...result, firstBytes: dnsAnswer(planned) } : result };
}

function dnsAnswer({ request }: PlannedProbe): Uint8Array {
  const query = decodeDns(request.payload ?? new Uint8Array());
  const name = query.questions[0]?.name ?? "";
  const isV4 = query.questions[0]?.type === DNS_TYPE.A;
  const address = parseAddr(isV4 ? "10.96.0.1" : "fd00:10:96::1");
  return encodeDns({ ...query, response: true, answers: [{ name, ttlSeconds: 5, type: isV4 ? "A" : "AAAA", address }] });
}
