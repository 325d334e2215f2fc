// Random clusters: nodes, namespaces, pods, Services of all types with their EndpointSlices, policies; and what may change in one.
import type { ContainerPort, Pod, Service, ServicePort, ServiceSpec } from "kubernetes-types/core/v1";
import type { Endpoint, EndpointSlice } from "kubernetes-types/discovery/v1";
import type { Family } from "#ip";
import type { Stored } from "#kube";
import type { ShadowObjects } from "../../types.ts";
import { endpointSlice, namespace, node, pod, service } from "../objects.ts";
import { namespaceLabels, PORTS, PROTOCOLS, podLabels, randomClusterPolicy, randomPolicy } from "./policies.ts";
import type { Chance } from "./random.ts";

export interface Shape {
  readonly nodes: number;
  /** All pods run and have networks of their own, so that the same namespaces can stand for all clusters of this shape. */
  readonly fixed: boolean;
  readonly podsPerNode: number;
}

const NAMESPACES: readonly string[] = ["x", "y", "z"];
const ZONES: readonly string[] = ["east", "west"];
const FAMILIES: readonly Family[] = [4, 6];
/** RFC 5737, RFC 3849: where load balancers and externalIPs are; the last number is the Service's. */
const EXTERNAL: Readonly<Record<Family, (n: number) => string>> = { 4: (n) => `192.0.2.${n}`, 6: (n) => `2001:db8:5::${n.toString(16)}` };
const CLUSTER_IP: Readonly<Record<Family, (n: number) => string>> = { 4: (n) => `10.96.0.${n}`, 6: (n) => `fd00:10:96::${n.toString(16)}` };
export const OUTSIDE_ADDR: Readonly<Record<Family, string>> = { 4: "203.0.113.2", 6: "2001:db8:113::2" };

export function randomCluster(chance: Chance, shape: Shape): ShadowObjects {
  const nodes = Array.from({ length: shape.nodes }, (_, i) =>
    node(i + 1, chance.is(0.7) ? { "topology.kubernetes.io/zone": chance.one(ZONES) } : {}),
  );
  const pods = nodes.flatMap((_, i) =>
    Array.from({ length: shape.fixed ? shape.podsPerNode : chance.int(1, shape.podsPerNode) }, (__, n) =>
      randomPod(chance, shape, { node: i + 1, n: n + 2 }),
    ),
  );
  const services = Array.from({ length: chance.int(1, 5) }, (_, n) => randomService(chance, n + 1));
  return {
    nodes,
    namespaces: NAMESPACES.map((name) => namespace(name, namespaceLabels(chance))),
    pods: shape.fixed ? pods : withReusedAddrs(chance, pods),
    services,
    endpointSlices: services.flatMap((one) => slicesFor(chance, one, pods)),
    // Half of the clusters know nothing of them.
    clusterNetworkPolicies: chance.is(0.5) ? chance.list(1, 4, (i) => randomClusterPolicy(chance, `c${i}`)) : [],
    networkPolicies: chance.list(0, 6, (i) => randomPolicy(chance, chance.one(NAMESPACES), `p${i}`)),
  };
}

/** A pod that has ended keeps its address in its status, while another pod may have it already. */
function withReusedAddrs(chance: Chance, pods: readonly Stored<Pod>[]): Stored<Pod>[] {
  return pods.map((one) => {
    const next = pods.find(({ spec, status }) => spec?.nodeName === one.spec?.nodeName && status?.phase === "Running");
    const hasEnded = one.status?.phase !== "Running";
    if (!hasEnded || next?.status === undefined || chance.is(0.5)) return one;
    return { ...one, status: { ...next.status, ...(one.status?.phase !== undefined && { phase: one.status.phase }) } };
  });
}

interface Place {
  readonly node: number;
  readonly n: number;
}

function randomPod(chance: Chance, { fixed }: Shape, at: Place): Stored<Pod> {
  const key = `${chance.one(NAMESPACES)}/pod-${at.node}-${at.n}`;
  const hostNetwork = !fixed && chance.is(0.1);
  const phase = !fixed && chance.is(0.1) ? chance.one(["Succeeded", "Failed"]) : "Running";
  const ports = containerPorts(chance);
  // No two pods of a node want the same one: the scheduler sees to that.
  if (!hostNetwork && ports.length > 0 && chance.is(0.3)) chance.one(ports).hostPort = 9000 + at.n;
  return pod(key, { ...at, labels: podLabels(chance), hostNetwork, phase, ports });
}

function containerPorts(chance: Chance): ContainerPort[] {
  const ports = PORTS.flatMap((containerPort) =>
    PROTOCOLS.flatMap((protocol): ContainerPort[] => (chance.is(0.7) ? [{ containerPort, protocol }] : [])),
  );
  // A name may stand for another number in each pod, and for one of each protocol.
  for (const name of ["http", "dns"]) {
    for (const protocol of PROTOCOLS) {
      const of = ports.filter((one) => one.protocol === protocol && one.name === undefined);
      if (of.length > 0 && chance.is(0.5)) chance.one(of).name = name;
    }
  }
  return ports;
}

function randomService(chance: Chance, n: number): Stored<Service> {
  const families = chance.one([[4], [6], [4, 6]] as const);
  const type = chance.one(["ClusterIP", "NodePort", "LoadBalancer"]);
  const ports = servicePorts(chance, n, type !== "ClusterIP");
  const ranges =
    type === "LoadBalancer" && chance.is(0.3) ? chance.one([["10.244.1.0/24"], ["172.18.0.0/16", "10.244.2.0/24"], ["::/0"]]) : undefined;
  const spec: ServiceSpec = {
    type,
    clusterIPs: families.map((family) => CLUSTER_IP[family](n)),
    ports,
    ...(chance.is(0.3) && { internalTrafficPolicy: "Local" }),
    ...(type !== "ClusterIP" && chance.is(0.5) && { externalTrafficPolicy: "Local" }),
    ...(chance.is(0.2) && { sessionAffinity: "ClientIP" }),
    ...(chance.is(0.2) && { externalIPs: families.map((family) => EXTERNAL[family](100 + n)) }),
    ...(ranges && { loadBalancerSourceRanges: ranges }),
  };
  const ingress = families.map((family) => ({ ip: EXTERNAL[family](n) }));
  return service(`${chance.one(NAMESPACES)}/service-${n}`, spec, type === "LoadBalancer" ? { loadBalancer: { ingress } } : {});
}

function servicePorts(chance: Chance, n: number, hasNodePorts: boolean): ServicePort[] {
  const always = chance.int(0, 2);
  return PROTOCOLS.flatMap((protocol, i): ServicePort[] => {
    if (i !== always && chance.is(0.4)) return [];
    const nodePort = 30_000 + n * 10 + i;
    return [{ name: `p${i}`, protocol, port: chance.one([80, 443]), ...(hasNodePorts && { nodePort }) }];
  });
}

/** Endpoints are pods, in any condition, and now and then an address outside. */
function slicesFor(chance: Chance, { metadata, spec }: Stored<Service>, pods: readonly Stored<Pod>[]): Stored<EndpointSlice>[] {
  const chosen = chance.some(
    pods.filter(({ status }) => status?.phase === "Running"),
    chance.one([0, 0.3, 0.5, 0.8]),
  );
  const withHints = chance.is(0.2);
  const targetOf = new Map((spec?.ports ?? []).map(({ name }) => [name, chance.one(PORTS)]));
  const conditions = chosen.map(() => randomConditions(chance));
  const families = FAMILIES.filter((family) => spec?.clusterIPs?.some((text) => text.includes(":") === (family === 6)));
  return families.map((family) => {
    const ports = (spec?.ports ?? []).map(({ name, protocol }) => ({
      ...(name !== undefined && { name }),
      ...(protocol !== undefined && { protocol }),
      port: targetOf.get(name) ?? 80,
    }));
    const slice = endpointSlice(`${metadata.namespace}/${metadata.name}`, family, chosen, ports);
    // Of two endpoints with one address (pods on their node's network) and different hints, the API does not say which counts.
    const hints = new Map(
      slice.endpoints.map(({ addresses: [addr] }) => [addr, chance.is(0.9) ? [{ name: chance.one(ZONES) }] : undefined]),
    );
    const endpoints = slice.endpoints.map((endpoint, i): Endpoint => {
      const forZones = withHints ? hints.get(endpoint.addresses[0]) : undefined;
      return { ...endpoint, conditions: conditions[i] ?? {}, ...(forZones !== undefined && { hints: { forZones } }) };
    });
    const outside: Endpoint[] = chance.is(0.1) ? [{ addresses: [OUTSIDE_ADDR[family]], conditions: { ready: true } }] : [];
    return { ...slice, endpoints: [...endpoints, ...outside] };
  });
}

function randomConditions(chance: Chance): NonNullable<Endpoint["conditions"]> {
  if (chance.is(0.6)) return { ready: true, serving: true, terminating: false };
  if (chance.is(0.2)) return {};
  return { ready: false, serving: chance.is(0.6), terminating: chance.is(0.6) };
}

/** The cluster after something has happened in it; all that it did not happen to are the same objects. */
export function changed(chance: Chance, objects: ShadowObjects): ShadowObjects {
  const replace = <T>(list: readonly T[], make: (old: T) => T): T[] => {
    const at = chance.int(0, list.length - 1);
    return list.map((item, i) => (i === at ? make(item) : item));
  };
  const without = <T>(list: readonly T[]): T[] => list.toSpliced(chance.int(0, list.length - 1), 1);
  const { pods, services, networkPolicies, namespaces, clusterNetworkPolicies = [] } = objects;
  switch (chance.int(0, 7)) {
    case 6:
      return { ...objects, clusterNetworkPolicies: [...clusterNetworkPolicies, randomClusterPolicy(chance, `d${chance.int(0, 1e6)}`)] };
    case 7:
      return { ...objects, clusterNetworkPolicies: without(clusterNetworkPolicies) };
    case 0:
      return { ...objects, pods: replace(pods, (old) => ({ ...old, metadata: { ...old.metadata, labels: podLabels(chance) } })) };
    case 1:
      return {
        ...objects,
        namespaces: replace(namespaces, ({ metadata }) => namespace(metadata.name, namespaceLabels(chance))),
      };
    case 2:
      return { ...objects, networkPolicies: [...networkPolicies, randomPolicy(chance, chance.one(NAMESPACES), `q${chance.int(0, 1e6)}`)] };
    case 3:
      return { ...objects, networkPolicies: without(networkPolicies) };
    case 4: {
      const one = chance.one(services);
      const others = objects.endpointSlices.filter((slice) => !isOf(slice, one));
      return { ...objects, endpointSlices: [...others, ...slicesFor(chance, one, pods)] };
    }
    default: {
      const n = chance.int(1, services.length);
      const next = randomService(chance, n);
      const old = services.find(({ metadata }) => metadata.name === next.metadata.name);
      const slices = objects.endpointSlices.filter((slice) => old === undefined || !isOf(slice, old));
      return {
        ...objects,
        services: [...services.filter((one) => one !== old), next],
        endpointSlices: [...slices, ...slicesFor(chance, next, pods)],
      };
    }
  }
}

function isOf(slice: Stored<EndpointSlice>, { metadata }: Stored<Service>): boolean {
  return slice.metadata.namespace === metadata.namespace && slice.metadata.labels?.["kubernetes.io/service-name"] === metadata.name;
}
