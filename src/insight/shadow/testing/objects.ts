// API objects for tests, with as little as each test says. Node n has the addresses and Pod CIDRs that the sandbox gives it.
import type { ContainerPort, Namespace, Node, Pod, Service, ServiceSpec } from "kubernetes-types/core/v1";
import type { EndpointPort, EndpointSlice } from "kubernetes-types/discovery/v1";
import type { NetworkPolicySpec } from "kubernetes-types/networking/v1";
import type { Family } from "#ip";
import type { Stored, StoredMeta } from "#kube";
import type { NetworkPolicy } from "#netpol";

type Labels = Readonly<Record<string, string>>;

/** Everything was made in one moment. */
const CREATED = "2026-01-01T00:00:00Z";

function meta(key: string, labels: Labels = {}): StoredMeta {
  const [first = "", name] = key.split("/");
  const id = name === undefined ? { name: first } : { namespace: first, name };
  return { ...id, uid: `uid of ${key}`, resourceVersion: "1", creationTimestamp: CREATED, labels };
}

export function node(n: number, labels: Labels = {}): Stored<Node> {
  const podCIDRs = [`10.244.${n}.0/24`, `fd00:10:244:${n.toString(16)}::/64`];
  const addresses = [`172.18.0.${10 + n}`, `fd00:18::${10 + n}`].map((address) => ({ type: "InternalIP", address }));
  return { apiVersion: "v1", kind: "Node", metadata: meta(`node-${n}`, labels), spec: { podCIDRs }, status: { addresses } };
}

export function namespace(name: string, labels: Labels = {}): Stored<Namespace> {
  return { apiVersion: "v1", kind: "Namespace", metadata: meta(name, { "kubernetes.io/metadata.name": name, ...labels }) };
}

export interface PodParts {
  readonly node: number;
  /** Its number among the node's addresses, from 2 on. */
  readonly n: number;
  readonly labels?: Labels;
  readonly ports?: readonly ContainerPort[];
  readonly hostNetwork?: boolean;
  readonly phase?: string;
}

/** `key` is `namespace/name`; its labels say its name, unless told otherwise. */
export function pod(key: string, { node: at, n, labels, ports = [], hostNetwork = false, phase = "Running" }: PodParts): Stored<Pod> {
  const metadata = meta(key, labels ?? { name: key.split("/")[1] ?? "" });
  const addrs = hostNetwork
    ? [`172.18.0.${10 + at}`, `fd00:18::${10 + at}`]
    : [`10.244.${at}.${n}`, `fd00:10:244:${at.toString(16)}::${n.toString(16)}`];
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata,
    spec: { nodeName: `node-${at}`, ...(hostNetwork && { hostNetwork }), containers: [{ name: "c", image: "i", ports: [...ports] }] },
    status: { phase, podIPs: addrs.map((ip) => ({ ip })) },
  };
}

/** With NodePorts where a port has one. */
export function service(key: string, spec: ServiceSpec, status: Service["status"] = {}): Stored<Service> {
  const type = spec.ports?.some(({ nodePort }) => nodePort !== undefined) === true ? "NodePort" : "ClusterIP";
  const clusterIP = spec.clusterIPs?.[0] ?? "None";
  return { apiVersion: "v1", kind: "Service", metadata: meta(key), spec: { type, clusterIP, ...spec }, status };
}

/** Of one family, with these pods as endpoints. */
export function endpointSlice(
  key: string,
  family: Family,
  pods: readonly Stored<Pod>[],
  ports: readonly EndpointPort[],
): Stored<EndpointSlice> {
  const endpoints = pods.map(({ spec, status }) => ({
    addresses: [status?.podIPs?.[family === 4 ? 0 : 1]?.ip ?? ""],
    conditions: { ready: true, serving: true, terminating: false },
    ...(spec?.nodeName !== undefined && { nodeName: spec.nodeName }),
  }));
  const metadata = { ...meta(`${key}-ipv${family}`), labels: { "kubernetes.io/service-name": key.split("/")[1] ?? "" } };
  return { apiVersion: "discovery.k8s.io/v1", kind: "EndpointSlice", metadata, addressType: `IPv${family}`, endpoints, ports: [...ports] };
}

export function networkPolicy(key: string, spec: NetworkPolicySpec): Stored<NetworkPolicy> {
  return { apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", metadata: meta(key), spec };
}
