// What is sent to prove that packets arrive, and what the answers say. Pure.
import { type Addr, formatAddr, formatAddrPort, nthAddr, type Prefix, tryParseAddr, tryParsePrefix } from "#ip";
import { internalAddrsOf, keyOf } from "#kube";
import { type FlowEnd, isAllowed, type Policy, parseClusterPolicy, parsePolicy, podFacts, type World } from "#netpol";
import { TCP } from "#nft";
import { addrsOf, hasNamespace } from "#shadow";
import { DNS_TYPE, type DnsMessage, decodeDns, encodeDns } from "#wire";
import type { Check, DoneProbe, Facts, Finding, PlannedProbe } from "./types.ts";

const TIMEOUT_MS = 2000;
const SERVICE_NAME = "kubernetes.io/service-name";
const DNS_PORT = 53;
const DNS_ID = 0xfa17;

type Known = Pick<Facts, "objects" | "settings" | "answers" | "desired">;

/** From every node: a full-size echo to each other node's bridge, a question to the cluster's DNS, a connection to each ready endpoint. */
export function planProbes(known: Known): PlannedProbe[] {
  const nodes = known.answers.flatMap(({ node, report }) => (report === undefined ? [] : [node]));
  return [
    ...nodes.flatMap((node, i) => sizeProbes(known, node, someOf(nodes.toSpliced(i, 1), i, nodes.length))),
    ...nodes.flatMap((node) => dnsProbes(known, node)),
    ...endpointProbes(known, nodes),
  ];
}

/** Of one purpose; beyond it, each node or endpoint is tried with some of the others, in turn. */
const MANY = 2000;

/** All of them, or where `times` all of them are too many, some from the `i`th on. */
function someOf<T>(all: readonly T[], i: number, times: number): T[] {
  const count = Math.max(1, Math.floor(MANY / Math.max(1, times)));
  const start = i % Math.max(1, all.length);
  return all.length <= count ? [...all] : [...all.slice(start), ...all.slice(0, start)].slice(0, count);
}

function endpointProbes(known: Known, nodes: readonly string[]): PlannedProbe[] {
  const endpoints = endpointsOf(known);
  const isOpen = openness(known);
  return endpoints.flatMap(({ addr, port, service }, i) => {
    const open = nodes.filter((node) => isOpen(node, addr, port));
    return someOf(open, i, endpoints.length).map((node): PlannedProbe => {
      const target = `endpoint ${formatAddrPort(addr, port)} of Service ${service}`;
      const request = { from: { kind: "node", name: node }, protocol: "tcp", dst: addr, dstPort: port, timeoutMs: TIMEOUT_MS } as const;
      return { purpose: "endpoint", node, target, request };
    });
  });
}

function podCidrs({ objects }: Known, node: string): Prefix[] {
  const own = objects.nodes.find(({ metadata }) => metadata.name === node)?.spec?.podCIDRs ?? [];
  return own.flatMap((text) => tryParsePrefix(text) ?? []);
}

const HEADER_BYTES = { 4: 20, 6: 40 } as const;
const ECHO_BYTES = 8;

/** To bridges, of which policies do not speak. */
function sizeProbes(known: Known, node: string, nodes: readonly string[]): PlannedProbe[] {
  const bridge = known.desired.namespaces.find(({ name }) => name === node)?.links.find(({ type }) => type.kind === "bridge");
  if (bridge?.mtu === undefined) return [];
  const { mtu } = bridge;
  return nodes
    .filter((other) => other !== node)
    .flatMap((other) =>
      podCidrs(known, other).map((block): PlannedProbe => {
        const dst = nthAddr(block, 1);
        const payload = new Uint8Array(mtu - HEADER_BYTES[dst.family] - ECHO_BYTES).fill(0x66);
        const target = `${formatAddr(dst)} of ${other} with ${mtu} bytes`;
        return {
          purpose: "size",
          node,
          target,
          request: { from: { kind: "node", name: node }, protocol: "icmp", dst, payload, timeoutMs: TIMEOUT_MS },
        };
      }),
    );
}

function dnsProbes({ objects, settings }: Known, node: string): PlannedProbe[] {
  const dns = objects.services.find(({ metadata }) => metadata.namespace === "kube-system" && metadata.name === "kube-dns");
  const addrs = (dns?.spec?.clusterIPs ?? []).flatMap((text) => tryParseAddr(text) ?? []);
  return addrs.map((dst): PlannedProbe => {
    const name = dnsName(settings);
    const payload = encodeDns(question(name, dst));
    const target = `${name} at ${formatAddrPort(dst, DNS_PORT)}`;
    const from = { kind: "node", name: node } as const;
    return { purpose: "dns", node, target, request: { from, protocol: "udp", dst, dstPort: DNS_PORT, payload, timeoutMs: TIMEOUT_MS } };
  });
}

function dnsName({ clusterDomain }: Facts["settings"]): string {
  return `kubernetes.default.svc.${clusterDomain}.`;
}

/** For the addresses of the server's family. */
function question(name: string, { family }: Addr): DnsMessage {
  const flags = {
    response: false,
    authoritative: false,
    truncated: false,
    recursionAvailable: false,
    authenticData: false,
    checkingDisabled: false,
  };
  const type = family === 4 ? DNS_TYPE.A : DNS_TYPE.AAAA;
  const lists = { answers: [], authorities: [], additionals: [] };
  return { id: DNS_ID, opcode: 0, rcode: 0, ...flags, recursionDesired: true, questions: [{ name, type, class: 1 }], ...lists };
}

interface Endpoint {
  readonly addr: Addr;
  readonly port: number;
  readonly service: string;
}

/** Ready ones of TCP ports, each once. */
function endpointsOf({ objects }: Known): Endpoint[] {
  const found = new Map<string, Endpoint>();
  for (const { metadata, endpoints = [], ports = [] } of objects.endpointSlices) {
    const service = `${metadata.namespace}/${metadata.labels?.[SERVICE_NAME] ?? ""}`;
    const ready = endpoints.filter(({ conditions }) => conditions?.ready !== false).flatMap(({ addresses }) => addresses);
    for (const { port, protocol = "TCP" } of ports) {
      if (port === undefined || protocol !== "TCP") continue;
      for (const addr of ready.flatMap((text) => tryParseAddr(text) ?? [])) found.set(formatAddrPort(addr, port), { addr, port, service });
    }
  }
  return [...found.values()];
}

function worldOf({ objects }: Known): World {
  const clusterPolicies = (objects.clusterNetworkPolicies ?? []).map(parseClusterPolicy);
  const parsed = objects.networkPolicies.map(parsePolicy);
  const policies = new Map([...Map.groupBy(parsed, ({ namespace }) => namespace)].map(([name, own]) => [name, byKey(own)]));
  const pods = new Map(objects.pods.map((pod) => [keyOf(pod), podFacts(pod)]));
  const namespaces = new Map(objects.namespaces.map(({ metadata }) => [metadata.name, metadata.labels ?? {}]));
  return { cluster: { pods, namespaces }, policies, clusterPolicies };
}

function byKey(policies: readonly Policy[]): Map<string, Policy> {
  return new Map(policies.map((policy) => [policy.key, policy]));
}

/** What policies forbid is not tried. */
function openness(known: Known): (node: string, addr: Addr, port: number) => boolean {
  const world = worldOf(known);
  const pods = known.objects.pods.filter(hasNamespace);
  const podAt = new Map(pods.flatMap((pod) => addrsOf(pod).map((addr) => [formatAddr(addr), world.cluster.pods.get(keyOf(pod))] as const)));
  const addrsOfNode = new Map(known.objects.nodes.map((node) => [node.metadata.name, internalAddrsOf(node).addrs]));
  return (node, addr, port) => {
    const pod = podAt.get(formatAddr(addr));
    const source = addrsOfNode.get(node)?.find(({ family }) => family === addr.family);
    if (pod === undefined || source === undefined) return true;
    const from: FlowEnd = { addr: source, ...(pod.nodeName === node && { isOwnNode: true }) };
    return isAllowed(world, { from, to: { addr, pod }, protocol: TCP, port });
  };
}

function outcomeText({ result, error }: DoneProbe): string {
  if (result === undefined) return error ?? "nothing was sent";
  const said = result.message ?? result.errno;
  const by =
    result.icmp === undefined
      ? ""
      : `, told by ${formatAddr(result.icmp.from)}${result.icmp.mtu === undefined ? "" : `: MTU ${result.icmp.mtu}`}`;
  return `${result.outcome}${said === undefined ? "" : ` (${said})`}${by}`;
}

function run(
  { probes }: Facts,
  purpose: DoneProbe["purpose"],
  judge: (probe: DoneProbe) => Finding | undefined,
): { examined: number; failures: Finding[] } {
  const own = probes.filter((probe) => probe.purpose === purpose);
  return { examined: own.length, failures: own.flatMap((probe) => judge(probe) ?? []) };
}

export const fullSizePackets: Check = {
  number: 11,
  title: "full-size packets arrive",
  proves: "an echo as large as a pod's largest packet goes from every node to every other one and back",
  unit: "echoes",
  run: (facts) =>
    run(facts, "size", (probe) => {
      if (probe.result?.outcome === "answered") return undefined;
      const problem = `echo to ${probe.target}: ${outcomeText(probe)}`;
      return { object: `node ${probe.node}`, problem, remedy: "see checks 5 to 10: a link, route, entry or MTU between the two" };
    }),
};

export const dnsAnswers: Check = {
  number: 13,
  title: "DNS answers",
  proves: "from every node the cluster's DNS says the ClusterIP of kubernetes.default",
  unit: "questions",
  run: (facts) =>
    run(facts, "dns", (probe) => {
      const problem = dnsProblem(probe, facts);
      if (problem === undefined) return undefined;
      const remedy = "look at the pods of kube-dns, and at check 14";
      return { object: `node ${probe.node}`, problem: `question for ${probe.target}: ${problem}`, remedy };
    }),
};

function dnsProblem(probe: DoneProbe, { objects }: Facts): string | undefined {
  const bytes = probe.result?.firstBytes;
  if (probe.result?.outcome !== "answered" || bytes === undefined) return outcomeText(probe);
  const wanted =
    objects.services.find(({ metadata }) => metadata.namespace === "default" && metadata.name === "kubernetes")?.spec?.clusterIPs ?? [];
  try {
    const { rcode, answers } = decodeDns(bytes);
    const said = answers.flatMap((record) => ("address" in record ? [formatAddr(record.address)] : []));
    if (rcode !== 0) return `the answer is an error (rcode ${rcode})`;
    const isFamily = (text: string): boolean => tryParseAddr(text)?.family === probe.request.dst.family;
    const expected = wanted.filter(isFamily);
    return said.some((text) => expected.includes(text)) || expected.length === 0
      ? undefined
      : `it says ${said.join(", ") || "nothing"}, not ${expected.join(", ")}`;
  } catch {
    return "the answer is no DNS message";
  }
}

export const endpointsReachable: Check = {
  number: 14,
  title: "endpoints are reachable",
  proves: "from every node a connection stands to each ready endpoint of each TCP Service, unless a policy forbids it",
  unit: "connections",
  run: (facts) =>
    run(facts, "endpoint", (probe) => {
      if (probe.result?.outcome === "answered") return undefined;
      const remedy = "look what listens in the pod, and at checks 5 to 12; `fairlead trace` shows where packets end";
      return { object: `node ${probe.node}`, problem: `${probe.target}: ${outcomeText(probe)}`, remedy };
    }),
};
