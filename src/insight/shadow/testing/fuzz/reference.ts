// What becomes of a question, by what is promised: the API's prose for Services and policies, and what the READMEs of the node rooms say of
// whose address is seen where. No table, route or hook is looked at.
import type { Node, Pod } from "kubernetes-types/core/v1";
import { type Addr, formatAddr, type Prefix, parseAddr, parsePrefix, prefixContains } from "#ip";
import { type ClusterNetworkPolicy, keyOf, type Stored } from "#kube";
import { type Question, SCTP, TCP, UDP } from "#model";
import type { Cluster, NetworkPolicy, PodFacts } from "#netpol";
import { type AllPolicies, allowedInTiers } from "../../../../core/netpol/testing/cluster-reference.ts";
import type { ShadowObjects } from "../../types.ts";
import { OUTSIDE_ADDR } from "./cluster.ts";
import { endpointsFor, isClusterIp, type ServiceEndpoint, serviceAt } from "./services-reference.ts";

/** `seenAs` is absent where nothing is promised. */
export type Expected =
  | { readonly kind: "answered"; readonly by: string; readonly seenAs?: Addr }
  | { readonly kind: "refused" | "silence" };

const REFUSED: Expected = { kind: "refused" };
const SILENCE: Expected = { kind: "silence" };

const PROTOCOL_NAMES: Readonly<Record<number, string>> = { [TCP]: "TCP", [UDP]: "UDP", [SCTP]: "SCTP" };
const PROTOCOLS: Readonly<Record<string, number>> = { TCP, UDP, SCTP };
const SERVICE_CIDRS: readonly Prefix[] = ["10.96.0.0/16", "fd00:10:96::/112"].map((text) => parsePrefix(text));
const OUTSIDE = "outside";

/** Who listens, beside what pods declare: by the name of a namespace. */
export type Listening = Readonly<Record<string, readonly { readonly protocol: number; readonly port: number }[]>>;

/** On its way from `client`, as others see it, for who listens at `port`. */
interface Flow {
  readonly client: Addr;
  readonly dst: Addr;
  readonly protocol: number;
  readonly port: number;
}

export class Reference {
  readonly #objects: ShadowObjects;
  readonly #overlay: "vxlan" | "host-gw";
  readonly #listening: Listening;
  readonly #pods: readonly Stored<Pod>[];
  readonly #cluster: Cluster;
  readonly #policies: Readonly<Record<"Ingress" | "Egress", AllPolicies>>;

  constructor(objects: ShadowObjects, overlay: "vxlan" | "host-gw", listening: Listening) {
    this.#objects = objects;
    this.#overlay = overlay;
    this.#listening = listening;
    this.#pods = objects.pods.filter(({ spec, status }) => spec?.hostNetwork !== true && status?.phase === "Running");
    const pods = new Map(this.#pods.map((pod) => [keyOf(pod), factsOf(pod)]));
    const nodes = objects.nodes.map(({ metadata, status }) => ({
      name: metadata.name,
      labels: metadata.labels ?? {},
      addrs: (status?.addresses ?? []).map(({ address }) => parseAddr(address)),
    }));
    this.#cluster = { pods, nodes, namespaces: new Map(objects.namespaces.map(({ metadata }) => [metadata.name, metadata.labels ?? {}])) };
    this.#policies = { Ingress: only("Ingress", objects), Egress: only("Egress", objects) };
  }

  /** Every way that it may go, each once or more. */
  expect({ from, protocol, dst, dstPort = 0 }: Question): readonly Expected[] {
    const flow = { dst, protocol, port: dstPort };
    const pod = this.#pods.find((one) => keyOf(one) === from);
    if (pod !== undefined) return this.#fromPod(pod, { ...flow, client: addrOf(pod, dst) });
    const node = this.#objects.nodes.find(({ metadata }) => metadata.name === from);
    if (node !== undefined) return this.#fromNode(node, flow);
    const client = parseAddr(OUTSIDE_ADDR[dst.family]);
    const target = this.#nodeAt(dst);
    if (target !== undefined) return this.#arriving(target, { ...flow, client });
    return [isSame(dst, client) ? this.#at(OUTSIDE, { ...flow, client }) : REFUSED];
  }

  #fromPod(pod: Stored<Pod>, flow: Flow): readonly Expected[] {
    const { client, dst } = flow;
    if (isSame(client, dst)) return [this.#at(keyOf(pod), flow)];
    const node = this.#nodeOf(pod);
    const chosen = this.#service(node, flow, true);
    if (chosen === undefined) return this.#podTo(pod, { ...flow, ...this.#hostPort(node, flow) }, false);
    if (typeof chosen === "string") return [{ kind: chosen }];
    return chosen.endpoints.flatMap((endpoint) =>
      this.#podTo(pod, { ...flow, dst: endpoint.addr, port: endpoint.port }, chosen.hidesClient),
    );
  }

  /** `hidden`: the node's address stands for the pod's. */
  #podTo(pod: Stored<Pod>, flow: Flow, hidden: boolean): readonly Expected[] {
    const { dst, client } = flow;
    const node = this.#nodeOf(pod);
    // Only by way of a Service a pod's packet to itself comes here.
    if (isSame(dst, client)) return [this.#at(keyOf(pod), { ...flow, client: gatewayOf(node, dst) })];
    // What a pod says to its node is not judged.
    if (isSame(dst, gatewayOf(node, dst)) || this.#nodeAt(dst) === node) return [this.#at(node.metadata.name, flow)];
    if (!this.#allows("Egress", flow)) return [SILENCE];
    return this.#leaving(node, flow, { hidden, judgedHere: true });
  }

  #fromNode(node: Stored<Node>, asked: Omit<Flow, "client">): readonly Expected[] {
    const { dst } = asked;
    // A local address is asked from itself.
    const isOwn = this.#nodeAt(dst) === node;
    const flow: Flow = { ...asked, client: nodeAddr(node, dst) };
    const chosen = this.#service(node, flow, true);
    if (chosen === undefined) {
      if (isOwn || isSame(dst, gatewayOf(node, dst))) return this.#atNode(node, flow, true).map(anyAddr);
      // Nobody has that address of the node's own, and the node itself hears it from nobody.
      if (this.#isVacant(node, dst)) return [SILENCE];
      return this.#leaving(node, flow, { hidden: true, judgedHere: false });
    }
    if (typeof chosen === "string") return [{ kind: chosen }];
    return chosen.endpoints.flatMap((endpoint) => {
      const to = { ...flow, dst: endpoint.addr, port: endpoint.port };
      if (this.#nodeAt(endpoint.addr) === node) return anyAddr(this.#at(node.metadata.name, to));
      return this.#leaving(node, to, { hidden: true, judgedHere: false });
    });
  }

  /** At a node's own address, from elsewhere. */
  #arriving(node: Stored<Node>, flow: Flow): readonly Expected[] {
    const chosen = this.#service(node, flow, false);
    if (chosen === undefined) return this.#atNode(node, flow, false);
    if (typeof chosen === "string") return [{ kind: chosen }];
    return chosen.endpoints.flatMap((endpoint) => {
      const to = { ...flow, dst: endpoint.addr, port: endpoint.port };
      if (this.#nodeAt(endpoint.addr) === node) return [this.#at(node.metadata.name, to)];
      return this.#leaving(node, to, { hidden: chosen.hidesClient, judgedHere: true });
    });
  }

  /**
   * From a node to somebody else. On the node itself the connection is judged by the client's own address, unless the node is the
   * client; on another by the address with which it arrives.
   */
  #leaving(node: Stored<Node>, flow: Flow, { hidden, judgedHere }: { hidden: boolean; judgedHere: boolean }): readonly Expected[] {
    const { dst } = flow;
    const pod = this.#podAt(dst);
    const here = pod !== undefined && this.#nodeOf(pod) === node;
    const seenAs = here ? gatewayOf(node, dst) : this.#overlay === "vxlan" ? gatewayOf(node, dst) : nodeAddr(node, dst);
    const seen: Flow = hidden ? { ...flow, client: seenAs } : flow;
    if (pod !== undefined) {
      if (here ? judgedHere && !this.#allows("Ingress", flow) : !this.#allows("Ingress", seen)) return [SILENCE];
      return [this.#at(keyOf(pod), seen)];
    }
    const gateway = this.#objects.nodes.find((other) => isSame(gatewayOf(other, dst), dst));
    if (gateway !== undefined) return this.#atNode(gateway, seen, false);
    // Whatever leaves the pods' network has the node's address.
    const outgoing: Flow = { ...flow, client: nodeAddr(node, dst) };
    const other = this.#nodeAt(dst);
    if (other !== undefined) return this.#arriving(other, outgoing);
    return [isSame(dst, parseAddr(OUTSIDE_ADDR[dst.family])) ? this.#at(OUTSIDE, outgoing) : REFUSED];
  }

  /** At an address of the node's own where no Service is: the host port of a pod, whose client keeps its address, or who listens there. */
  #atNode(node: Stored<Node>, flow: Flow, isItself: boolean): readonly Expected[] {
    const to = this.#hostPort(node, flow);
    if (to === undefined) return [this.#at(node.metadata.name, flow)];
    return this.#leaving(node, { ...flow, ...to }, { hidden: false, judgedHere: !isItself });
  }

  /** Where a host port of the node leads; undefined where there is none, or the address is not the node's. */
  #hostPort(node: Stored<Node>, { dst, protocol, port }: Flow): Pick<Flow, "dst" | "port"> | undefined {
    if (this.#nodeAt(dst) !== node && !isSame(gatewayOf(node, dst), dst)) return undefined;
    for (const pod of this.#pods.filter(({ spec }) => spec?.nodeName === node.metadata.name)) {
      const own = (pod.spec?.containers ?? []).flatMap(({ ports = [] }) => ports);
      const found = own.find((one) => one.hostPort === port && PROTOCOLS[one.protocol ?? "TCP"] === protocol);
      if (found !== undefined) return { dst: addrOf(pod, dst), port: found.containerPort };
    }
    return undefined;
  }

  #service(
    node: Stored<Node>,
    { client, dst, protocol, port }: Flow,
    isInside: boolean,
  ): { readonly endpoints: readonly ServiceEndpoint[]; readonly hidesClient: boolean } | "refused" | "silence" | undefined {
    const at = serviceAt(this.#objects, node, { addr: dst, protocol: PROTOCOL_NAMES[protocol] ?? "", port });
    if (at === undefined) {
      if (isClusterIp(this.#objects, dst)) return "refused";
      return SERVICE_CIDRS.some((cidr) => prefixContains(cidr, dst)) ? "silence" : undefined;
    }
    const endpoints = endpointsFor(this.#objects, node, at, { addr: client, isInside });
    if (typeof endpoints === "string") return endpoints;
    // With externalTrafficPolicy Local clients keep their addresses; pods keep theirs at a ClusterIP.
    return { endpoints, hidesClient: at.kind !== "ClusterIP" && at.service.spec?.externalTrafficPolicy !== "Local" };
  }

  #at(place: string, { client, protocol, port }: Flow): Expected {
    return this.#listens(place, protocol, port) ? { kind: "answered", by: place, seenAs: client } : REFUSED;
  }

  #listens(place: string, protocol: number, port: number): boolean {
    const declares = (pod: Stored<Pod>): boolean =>
      pod.spec?.containers.some(({ ports = [] }) =>
        ports.some((one) => one.containerPort === port && PROTOCOLS[one.protocol ?? "TCP"] === protocol),
      ) === true;
    const inside = this.#objects.pods.filter((pod) =>
      pod.spec?.hostNetwork === true ? pod.spec.nodeName === place && pod.status?.phase === "Running" : keyOf(pod) === place,
    );
    return inside.some(declares) || this.#listening[place]?.some((one) => one.protocol === protocol && one.port === port) === true;
  }

  #allows(direction: "Ingress" | "Egress", { client, dst, protocol, port }: Flow): boolean {
    return allowedInTiers(this.#policies[direction], this.#cluster, { src: client, dst, protocol, port });
  }

  #podAt(addr: Addr): Stored<Pod> | undefined {
    return this.#pods.find(({ status }) => status?.podIPs?.some(({ ip }) => isSame(parseAddr(ip ?? ""), addr)));
  }

  #nodeAt(addr: Addr): Stored<Node> | undefined {
    return this.#objects.nodes.find(({ status }) => status?.addresses?.some(({ address }) => isSame(parseAddr(address), addr)));
  }

  #nodeOf({ spec }: Stored<Pod>): Stored<Node> {
    const node = this.#objects.nodes.find(({ metadata }) => metadata.name === spec?.nodeName);
    if (node === undefined) throw new RangeError(`there is no node ${spec?.nodeName}`);
    return node;
  }

  #isVacant(node: Stored<Node>, addr: Addr): boolean {
    return podCidrs(node).some((cidr) => prefixContains(cidr, addr)) && this.#podAt(addr) === undefined;
  }
}

function anyAddr(expected: Expected): Expected {
  return expected.kind === "answered" ? { kind: "answered", by: expected.by } : expected;
}

function isSame(a: Addr, b: Addr): boolean {
  return formatAddr(a) === formatAddr(b);
}

function addrOf({ status }: Pod, like: Addr): Addr {
  return parseAddr(status?.podIPs?.find(({ ip }) => ip?.includes(":") === (like.family === 6))?.ip ?? "");
}

function nodeAddr({ status }: Node, like: Addr): Addr {
  return parseAddr(status?.addresses?.find(({ address }) => address.includes(":") === (like.family === 6))?.address ?? "");
}

function podCidrs({ spec }: Node): Prefix[] {
  return (spec?.podCIDRs ?? []).map((text) => parsePrefix(text));
}

/** The first address of the node's block. */
function gatewayOf(node: Node, like: Addr): Addr {
  const text = node.spec?.podCIDRs?.find((cidr) => cidr.includes(":") === (like.family === 6)) ?? "";
  return parseAddr(like.family === 6 ? text.replace(/::\/.*/, "::1") : text.replace(/\.0\/.*/, ".1"));
}

function factsOf(pod: Stored<Pod>): PodFacts {
  const { metadata, spec, status } = pod;
  const ports = (spec?.containers ?? []).flatMap(({ ports: own = [] }) =>
    own.flatMap(({ name, protocol = "TCP", containerPort: port }) =>
      name === undefined ? [] : [{ name, protocol: PROTOCOLS[protocol] ?? 0, port }],
    ),
  );
  const addrs = (status?.podIPs ?? []).map(({ ip }) => parseAddr(ip ?? ""));
  const { uid, namespace = "", labels = {} } = metadata;
  return { key: keyOf(pod), uid, namespace, nodeName: spec?.nodeName ?? "", labels, addrs, ports, isPeer: true };
}

/** The policies as far as they are about one direction (networking/v1 policyTypes). */
function only(type: "Ingress" | "Egress", { networkPolicies, clusterNetworkPolicies = [] }: ShadowObjects): AllPolicies {
  const own = networkPolicies.flatMap((policy): Stored<NetworkPolicy>[] => {
    const { spec } = policy;
    const types = spec?.policyTypes ?? (spec?.egress !== undefined && spec.egress.length > 0 ? ["Ingress", "Egress"] : ["Ingress"]);
    if (spec === undefined || !types.includes(type)) return [];
    return [{ ...policy, spec: { ...spec, policyTypes: [type] } }];
  });
  const clusterPolicies = clusterNetworkPolicies.flatMap(({ spec, ...rest }): Stored<ClusterNetworkPolicy>[] =>
    spec === undefined ? [] : [{ ...rest, spec: { ...spec, [type === "Ingress" ? "egress" : "ingress"]: [] } }],
  );
  return { networkPolicies: own, clusterPolicies };
}
