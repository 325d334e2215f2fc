// A cluster of many pods and policies as objects of the API: applications in namespaces that let in whom they know, egress to DNS and to
// blocks, a closed namespace here and there.
import type { Namespace, Node, Pod, Service } from "kubernetes-types/core/v1";
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import type { NetworkPolicySpec } from "kubernetes-types/networking/v1";
import type { Stored, StoredMeta } from "#kube";
import type { NetworkPolicy } from "#netpol";
import { NO_OBJECTS, type Objects } from "#whatif";

export interface Size {
  readonly pods: number;
  readonly policies: number;
  readonly namespaces: number;
}

const APPS = ["web", "api", "db", "cache", "queue", "worker", "auth", "search", "mail", "report"];
const TEAMS = 10;
const NODES = 50;

export function bigCluster({ pods, policies, namespaces }: Size): Objects {
  const names = Array.from({ length: namespaces }, (_, i) => `ns-${i}`);
  const all = Array.from({ length: pods }, (_, i) => podOf(i, names));
  const services = names.flatMap((namespace) => APPS.map((app) => ({ namespace, app })));
  return {
    ...NO_OBJECTS,
    namespaces: new Map(
      names.map((name, i) => [
        name,
        {
          apiVersion: "v1",
          kind: "Namespace",
          metadata: meta(name, undefined, { "kubernetes.io/metadata.name": name, team: `t${i % TEAMS}` }),
        } satisfies Stored<Namespace>,
      ]),
    ),
    nodes: new Map(Array.from({ length: NODES }, (_, i) => [`node-${i}`, nodeOf(i)] as const)),
    pods: new Map(all.map((pod) => [`${pod.metadata.namespace}/${pod.metadata.name}`, pod])),
    services: new Map(services.map(({ namespace, app }, i) => [`${namespace}/${app}`, serviceOf(namespace, app, i)])),
    slices: new Map(services.map(({ namespace, app }) => [`${namespace}/${app}`, sliceOf(namespace, app, all)])),
    policies: new Map(
      Array.from({ length: policies }, (_, i) => policyOf(i, names)).map((policy) => [
        `${policy.metadata.namespace}/${policy.metadata.name}`,
        policy,
      ]),
    ),
  };
}

function meta(name: string, namespace?: string, labels: Record<string, string> = {}): StoredMeta {
  return {
    name,
    uid: `${namespace} ${name}`,
    resourceVersion: "1",
    creationTimestamp: "",
    labels,
    ...(namespace !== undefined && { namespace }),
  };
}

function nodeOf(i: number): Stored<Node> {
  const addresses = [
    { type: "InternalIP", address: `172.18.${i >> 8}.${i & 255}` },
    { type: "InternalIP", address: `fd00:18::${(i + 1).toString(16)}` },
  ];
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: meta(`node-${i}`),
    spec: { podCIDRs: [`10.${64 + i}.0.0/16`] },
    status: { addresses },
  };
}

function podOf(i: number, names: readonly string[]): Stored<Pod> {
  const namespace = names[i % names.length] ?? "";
  const app = APPS[Math.floor(i / names.length) % APPS.length] ?? "";
  const node = i % NODES;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: meta(`${app}-${i}`, namespace, { app, "pod-template-hash": `h${i % 97}`, version: `v${i % 2}` }),
    spec: { nodeName: `node-${node}`, containers: [{ name: "c", ports: [{ name: "main", containerPort: 8080 }] }] },
    status: {
      phase: "Running",
      podIPs: [{ ip: `10.${64 + node}.${(i >> 8) & 255}.${i & 255}` }, { ip: `fd00:${(64 + node).toString(16)}::${i.toString(16)}` }],
    },
  };
}

function serviceOf(namespace: string, app: string, i: number): Stored<Service> {
  const ip = `10.96.${i >> 8}.${i & 255}`;
  const spec = { clusterIP: ip, clusterIPs: [ip], selector: { app }, ports: [{ port: 80, targetPort: 8080 }] };
  return { apiVersion: "v1", kind: "Service", metadata: meta(app, namespace), spec };
}

function sliceOf(namespace: string, app: string, all: readonly Stored<Pod>[]): Stored<EndpointSlice> {
  const own = all.filter(({ metadata }) => metadata.namespace === namespace && metadata.labels?.["app"] === app);
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: meta(`${app}-1`, namespace, { "kubernetes.io/service-name": app }),
    addressType: "IPv4",
    ports: [{ port: 8080, protocol: "TCP" }],
    endpoints: own.map(({ status }) => ({ addresses: [status?.podIPs?.[0]?.ip ?? ""], conditions: { ready: true } })),
  };
}

function policyOf(i: number, names: readonly string[]): Stored<NetworkPolicy> {
  const namespace = names[i % names.length] ?? "";
  const round = Math.floor(i / names.length);
  const metadata = meta(`p${round}`, namespace);
  return { apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", metadata, spec: specOf(round, i) };
}

/** Each round is another kind of policy, with what differs from namespace to namespace. */
function specOf(round: number, i: number): NetworkPolicySpec {
  const app = (n: number): string => APPS[n % APPS.length] ?? "";
  const of = (n: number): { matchLabels: { app: string } } => ({ matchLabels: { app: app(n) } });
  if (round === 0 && i % 3 === 0) return { podSelector: {}, policyTypes: ["Ingress"] };
  if (round % 4 === 1) {
    const dns = {
      to: [{ namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "ns-0" } } }],
      ports: [{ protocol: "UDP", port: 53 }],
    };
    const far = { to: [{ ipBlock: { cidr: "0.0.0.0/0", except: ["10.0.0.0/8", `192.168.${i % 200}.0/24`] } }], ports: [{ port: 443 }] };
    return { podSelector: of(round + i), policyTypes: ["Egress"], egress: [dns, far, { to: [{ podSelector: {} }] }] };
  }
  if (round % 4 === 2) {
    const from = [
      { namespaceSelector: { matchLabels: { team: `t${i % TEAMS}` } }, podSelector: of(i) },
      { ipBlock: { cidr: `203.${i % 250}.113.0/24` } },
    ];
    return { podSelector: of(round), ingress: [{ from, ports: [{ port: "main" }, { port: 9000 + (i % 50), endPort: 9100 }] }] };
  }
  return {
    podSelector: of(round),
    ingress: [{ from: [{ podSelector: of(round + 1) }, { podSelector: of(round + 2) }], ports: [{ port: 8080 }] }],
  };
}
