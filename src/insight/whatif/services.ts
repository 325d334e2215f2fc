// What is behind the addresses of Services, in a world: who judges the packets judges them at the pod that they reach. Pure.
import type { Service } from "kubernetes-types/core/v1";
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import { type Addr, addrEquals, type Family, formatAddr } from "#ip";
import type { Stored } from "#kube";
import { compileService, type Frontend, primaryAddresses } from "#proxy";
import type { Atom, Partition } from "./atoms.ts";
import type { Objects } from "./objects.ts";
import { type PortSets, pointOf } from "./ports.ts";
import type { Reach } from "./reach.ts";

/** Where a Service leads to, seen from some nodes. */
export interface Way {
  /** `namespace/name:port`, as the proxy calls it. */
  readonly service: string;
  readonly kind: Frontend["kind"];
  readonly family: Family;
  readonly protocol: number;
  readonly port: number;
  /** Only from these nodes; undefined: from everywhere. */
  readonly nodes: readonly string[] | undefined;
  readonly backends: readonly { readonly addr: Addr; readonly port: number; readonly node: string | undefined }[];
}

/** ClusterIPs for clients in pods; NodePorts, load balancers and external addresses for clients outside. */
export function waysOf({ services, slices, nodes }: Objects): Way[] {
  const byService = Map.groupBy(
    slices.values(),
    ({ metadata }) => `${metadata.namespace}/${metadata.labels?.["kubernetes.io/service-name"] ?? ""}`,
  );
  const places = [...nodes.values()].map((node) => ({
    name: node.metadata.name,
    zone: node.metadata.labels?.["topology.kubernetes.io/zone"],
    addresses: primaryAddresses(node),
  }));
  return [...services].flatMap(([key, service]) => {
    const own = byService.get(key) ?? [];
    const seen = dependsOnNode(service, own) ? places : places.slice(0, 1);
    return seen.flatMap(({ zone, ...place }) => {
      const node = { ...place, ...(zone !== undefined && { zone }) };
      const { frontends } = compileService({ service, slices: own, node });
      return distinct(frontends).map((frontend) =>
        wayOf(frontend, { slices: own, nodes: seen.length === places.length && places.length > 1 ? [place.name] : undefined }),
      );
    });
  });
}

/** A NodePort is one way, whichever address of the node it is asked at. */
function distinct(frontends: readonly Frontend[]): Frontend[] {
  return [...new Map(frontends.map((one) => [`${one.kind} ${one.family} ${one.protocol} ${one.port} ${one.service}`, one])).values()];
}

function dependsOnNode({ spec, metadata }: Stored<Service>, slices: readonly Stored<EndpointSlice>[]): boolean {
  if (spec?.internalTrafficPolicy === "Local" || spec?.externalTrafficPolicy === "Local") return true;
  const mode = metadata.annotations?.["service.kubernetes.io/topology-mode"];
  return mode !== undefined || slices.some(({ endpoints }) => (endpoints ?? []).some(({ hints }) => hints !== undefined));
}

function wayOf(
  { service, kind, family, protocol, port, backends }: Frontend,
  { slices, nodes }: { readonly slices: readonly Stored<EndpointSlice>[]; readonly nodes: readonly string[] | undefined },
): Way {
  const nodeOf = new Map(slices.flatMap(({ endpoints }) => (endpoints ?? []).map(({ addresses, nodeName }) => [addresses[0], nodeName])));
  return {
    service,
    kind,
    family,
    protocol,
    port,
    nodes,
    backends: backends.map(({ addr, port: own }) => ({ addr, port: own, node: nodeOf.get(formatAddr(addr)) })),
  };
}

/** How many of the endpoints a client reaches. */
export interface Reached {
  readonly reached: number;
  readonly endpoints: number;
}

export interface WayQuestion {
  readonly partition: Partition;
  readonly reach: Reach;
  readonly sets: PortSets;
}

const targets = new WeakMap<Way, readonly (Atom | undefined)[]>();

/** The atom of each endpoint: asked for each client. */
function targetsOf(way: Way, partition: Partition): readonly (Atom | undefined)[] {
  const known = targets.get(way) ?? way.backends.map(({ addr }) => partition.atomOf(addr));
  targets.set(way, known);
  return known;
}

export function throughWay(way: Way, from: Atom, { partition, reach, sets }: WayQuestion): Reached {
  const own = from.kind === "pods" && from.pods.length === 1 ? reach.matcher.world.pods.get(from.pods[0] ?? "")?.addrs : undefined;
  const atoms = targetsOf(way, partition);
  let reached = 0;
  for (const [i, { addr, port }] of way.backends.entries()) {
    // A pod that reaches itself is not judged.
    const isItself = own?.some((one) => addrEquals(one, addr)) === true;
    const to = atoms[i];
    if (isItself || (to !== undefined && sets.has(reach.between(from, to, way.family), pointOf(way.protocol, port)))) reached++;
  }
  return { reached, endpoints: way.backends.length };
}

/** `TCP 80 of Service shop/db (ClusterIP)`. */
export function wayKey({ service, kind, family, protocol, port, nodes }: Way): string {
  return [service, kind, family, protocol, port, nodes?.join() ?? ""].join(" ");
}

/**
 * Who may come by that way at all: pods use ClusterIPs, the outside uses the others. Of pods that policies do not tell apart, those that are
 * its endpoints (`own`) are by themselves: what a pod says to itself is not judged.
 */
export function clientsOf(way: Way, from: Atom, own: ReadonlySet<string>, { worlds }: Partition): Atom[] {
  if (from.kind === "nodes") return [];
  if (from.kind === "block") return way.kind !== "ClusterIP" && from.family === way.family ? [from] : [];
  if (way.kind !== "ClusterIP") return [];
  const { nodes } = way;
  const isOn = (key: string): boolean => worlds.some(({ pods: all }) => nodes?.includes(all.get(key)?.nodeName ?? "") === true);
  const pods = nodes === undefined ? from.pods : from.pods.filter(isOn);
  const others = pods.filter((key) => !own.has(key));
  const endpoints = others.length === pods.length ? [] : pods.filter((key) => own.has(key)).map((key): Atom => ({ ...from, pods: [key] }));
  return others.length === 0 ? endpoints : [...endpoints, others.length === from.pods.length ? from : { ...from, pods: others }];
}
