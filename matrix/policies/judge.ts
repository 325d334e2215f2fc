// One state of policies: what is expected by the API's prose, what the model foresees, and what packets have found out.
import { FAMILIES, type Family, formatAddr, parseAddr } from "#ip";
import type { Stored } from "#kube";
import { type Network, prepareNetwork, roundTrips } from "#model";
import { type Cluster, type NetworkPolicy, podFacts } from "#netpol";
import { allowed } from "../../src/core/netpol/testing/reference.ts";
import type { Given, PolicyCluster } from "./cluster.ts";
import {
  DNS,
  namespaceObjects,
  networkState,
  PLACES,
  type Place,
  PORTS,
  PROTOCOL_NUMBERS,
  type Protocol,
  podObject,
  SERVICE_PORTS,
  serviceName,
} from "./network.ts";
import type { Fate, Probe, Prober } from "./prober.ts";

export type Destination = "pod" | "service" | "name";

export const DESTINATIONS: readonly Destination[] = ["pod", "service", "name"];

export interface Question {
  readonly from: Place;
  readonly to: Place;
  readonly protocol: Protocol;
  readonly family: Family;
  readonly destination: Destination;
  /** The pod's. */
  readonly port: number;
}

export interface Verdict extends Question {
  readonly expected: boolean;
  readonly foreseen: boolean;
  readonly observed: Fate;
  readonly ok: boolean;
}

/** Whether the API's prose allows it: what is expected without policies' compiler or model. */
export type Expectation = (question: Question) => boolean;

export function expectation(given: Given): Expectation {
  const cluster = clusterOf(given);
  const policies = Object.entries(given.policies).map(([key, spec]): Stored<NetworkPolicy> => {
    const [namespace = "", name = ""] = key.split("/");
    const metadata = { namespace, name, uid: key, resourceVersion: "1", creationTimestamp: "" };
    return { apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", metadata, spec };
  });
  const may = (from: Place, to: Place, family: Family, flow: { readonly protocol: number; readonly port: number }): boolean =>
    allowed(policies, cluster, { src: parseAddr(from.addrs[family]), dst: parseAddr(to.addrs[family]), ...flow });
  const resolves = new Map(PLACES.map((from) => [from.key, may(from, DNS, 4, { protocol: PROTOCOL_NUMBERS.UDP, port: 53 })]));
  return ({ from, to, protocol, family, destination, port }) =>
    (destination !== "name" || resolves.get(from.key) === true) && may(from, to, family, { protocol: PROTOCOL_NUMBERS[protocol], port });
}

function clusterOf({ labels = {} }: Given): Cluster {
  const stored = { uid: "", resourceVersion: "1", creationTimestamp: "" };
  const pods = [...PLACES, DNS].map((place) => {
    const object = podObject(place);
    const metadata = {
      ...object.metadata,
      name: object.metadata?.name ?? "",
      ...stored,
      labels: { ...(labels[place.key] ?? object.metadata?.labels) },
    };
    return podFacts({ ...object, apiVersion: "v1", kind: "Pod", metadata });
  });
  const namespaces = namespaceObjects().map(
    ({ metadata }) => [metadata?.name ?? "", labels[metadata?.name ?? ""] ?? metadata?.labels ?? {}] as const,
  );
  return { pods: new Map(pods.map((pod) => [pod.key, pod])), namespaces: new Map(namespaces) };
}

/** Every pod asks every pod, itself included. */
export function questions(protocols: readonly Protocol[]): Question[] {
  const pairs = PLACES.flatMap((from) => PLACES.map((to) => ({ from, to })));
  const ways = protocols.flatMap((protocol) =>
    FAMILIES.flatMap((family) =>
      DESTINATIONS.flatMap((destination) => portsOf(destination).map((port) => ({ protocol, family, destination, port }))),
    ),
  );
  return pairs.flatMap((pair) => ways.map((way) => ({ ...pair, ...way })));
}

/** Who asks by a name asks what the name says: one port shows it. */
function portsOf(destination: Destination): readonly number[] {
  return destination === "name" ? PORTS.slice(0, 1) : PORTS;
}

function modelOf(cluster: PolicyCluster, protocols: readonly Protocol[]): Network {
  const { namespaces } = STATES.get(protocols.join()) ?? networkState(protocols);
  STATES.set(protocols.join(), { namespaces });
  return prepareNetwork({
    namespaces: namespaces.map((one) =>
      one.name === "node-1" || one.name === "node-2" ? { ...one, tables: cluster.tables(one.name) } : one,
    ),
  });
}

const STATES: Map<string, ReturnType<typeof networkState>> = new Map();

export interface JudgeInput {
  readonly cluster: PolicyCluster;
  readonly prober: Prober;
  readonly protocols: readonly Protocol[];
  readonly asked: readonly Question[];
  readonly expected: Expectation;
  /** What somebody else says: that must be so too. */
  readonly says?: ((question: Question) => boolean | undefined) | undefined;
}

/** Both nodes must have what is given already. */
export async function judge({ cluster, prober, protocols, asked, expected, says }: JudgeInput): Promise<Verdict[]> {
  const network = modelOf(cluster, protocols);
  const foresees = foresight(network);
  const observed = await observe(prober, asked);
  return asked.map((question, i) => {
    const [want, foreseen, fate] = [expected(question), foresees(question), observed[i] ?? "lost"];
    const isSaid = says === undefined || says(question) === want;
    return {
      ...question,
      expected: want,
      foreseen,
      observed: fate,
      ok: isSaid && want === foreseen && fate === (want ? "answered" : "dropped"),
    };
  });
}

/** Asks for names first; then everything, at the addresses that have come. */
async function observe(prober: Prober, asked: readonly Question[]): Promise<Fate[]> {
  const names = new Map<string, Question>();
  for (const question of asked) if (question.destination === "name") names.set(nameKey(question), question);
  const lookups = [...names.values()];
  const found = await prober.lookup(lookups.map(({ from, to, family }) => ({ from, name: serviceName(to), family })));
  const addrs = new Map(lookups.map((question, i) => [nameKey(question), found[i] ?? "lost"]));
  const fates: Fate[] = [];
  const probes: Probe[] = [];
  const places: number[] = [];
  for (const [i, question] of asked.entries()) {
    const { from, to: by, protocol, family, destination: sort, port: byPort } = question;
    const resolved = sort === "name" ? (addrs.get(nameKey(question)) ?? "lost") : parseAddr((sort === "pod" ? by.addrs : by.vip)[family]);
    if (typeof resolved === "string") {
      fates[i] = resolved;
      continue;
    }
    places.push(i);
    probes.push({ from, to: formatAddr(resolved), port: portOf(question), protocol, by, byPort, sort });
  }
  for (const [i, fate] of (await prober.ask(probes)).entries()) fates[places[i] ?? -1] = fate;
  return fates;
}

function nameKey({ from, to, family }: Question): string {
  return `${from.key} ${to.key} ${family}`;
}

function portOf({ destination, port }: Question): number {
  return destination === "pod" ? port : SERVICE_PORTS[destination] + port;
}

/** Walks there and back. What is asked by name needs the walk to the DNS server besides. */
function foresight(network: Network): (question: Question) => boolean {
  const arrives = (from: Place, by: Place, to: { readonly addr: string; readonly protocol: number; readonly port: number }): boolean =>
    roundTrips(network, { from: from.key, protocol: to.protocol, dst: parseAddr(to.addr), dstPort: to.port }, { record: false }).every(
      ({ result: { outcome } }) => outcome.kind === "answered" && outcome.by === by.key,
    );
  const resolves = new Map<string, boolean>();
  const canResolve = (from: Place): boolean => {
    const known = resolves.get(from.key) ?? arrives(from, DNS, { addr: DNS.vip[4], protocol: PROTOCOL_NUMBERS.UDP, port: 53 });
    resolves.set(from.key, known);
    return known;
  };
  return (question) => {
    const { from, to, protocol, family, destination } = question;
    if (destination === "name" && !canResolve(from)) return false;
    const addr = (destination === "pod" ? to.addrs : to.vip)[family];
    return arrives(from, to, { addr, protocol: PROTOCOL_NUMBERS[protocol], port: portOf(question) });
  };
}
