// What the kernel of a node and of its pods would hold: links, addresses, routes, neighbours, forwarding entries, switches, tables. By the
// compilers of the rooms that write them.
import type { Pod } from "kubernetes-types/core/v1";
import { BRIDGE, compileBridge, compilePod, type PodPlan, type PodRange } from "#cni";
import { type Addr, nthAddr, type Prefix } from "#ip";
import { keyOf, type Stored } from "#kube";
import type * as model from "#model";
import type { Table } from "#nft";
import { BACKENDS, type LocalNode, type OverlayBackend, type PeerNode, VXLAN_LINK } from "#overlay";
import { compileHostPorts } from "#portmap";
import { addrsOf, hasNamespace, hostPortsOf, listenersOf, namespaceOf } from "./pods.ts";
import type { UnderlayPlan } from "./types.ts";
import { UPLINK, underlayMtu, uplinkOf } from "./underlay.ts";

const POD_LINK = "eth0";
const LO: model.Link = { name: "lo", type: { kind: "loopback" }, up: true };

/** A node with what its agent knows from the start. */
export interface ShadowNode {
  readonly name: string;
  readonly addrs: readonly Addr[];
  readonly podCidrs: readonly Prefix[];
}

export interface NodeContext {
  readonly backend: OverlayBackend;
  readonly underlay: UnderlayPlan;
}

function localNode({ underlay }: NodeContext, { name, addrs, podCidrs }: ShadowNode): LocalNode {
  const onLink = underlay.router;
  return { name, addrs, podCidrs, underlay: { link: UPLINK, mtu: underlayMtu(underlay), onLink } };
}

/** As `podMtu` of the overlay. */
function podMtu({ backend, underlay }: NodeContext, { addrs }: Pick<ShadowNode, "addrs">): number {
  const family = (addrs.find((addr) => addr.family === 4) ?? addrs[0])?.family ?? 4;
  return underlayMtu(underlay) - backend.overhead(family);
}

function rangesOf({ podCidrs }: ShadowNode): PodRange[] {
  return podCidrs.map((prefix) => ({ prefix, gateway: nthAddr(prefix, 1) }));
}

/** The runtime's name of a pod's sandbox is not in the API. */
function sandboxOf({ metadata }: Stored<Pod>): string {
  return metadata.uid;
}

function planPod(context: NodeContext, node: ShadowNode, pod: Stored<Pod>): PodPlan {
  const owner = { containerId: sandboxOf(pod), ifName: POD_LINK };
  return compilePod(rangesOf(node), owner, addrsOf(pod), podMtu(context, node));
}

export function podNamespace(
  context: NodeContext,
  node: ShadowNode,
  { pod, listeners }: { readonly pod: Stored<Pod>; readonly listeners: readonly model.Listener[] },
): model.Namespace {
  const plan = planPod(context, node, pod);
  const { addrs, neighs, routes } = plan.pod;
  const type = { kind: "veth", peer: { namespace: node.name, link: plan.hostLink } } as const;
  return {
    name: namespaceOf(pod),
    links: [LO, { name: POD_LINK, type, mac: plan.mac, mtu: plan.mtu, up: true }],
    addrs,
    neighs,
    routes,
    listeners: [...listenersOf(pod), ...listeners],
  };
}

export interface NodeInput {
  readonly node: ShadowNode;
  /** Those of the other nodes. */
  readonly peers: readonly PeerNode[];
  /** All that are alive on the node. */
  readonly pods: readonly Stored<Pod>[];
  readonly tables: readonly Table[];
  readonly listeners: readonly model.Listener[];
}

export function nodeNamespace(context: NodeContext, { node, peers, pods, tables, listeners }: NodeInput): model.Namespace {
  const uplink = uplinkOf(context.underlay, node);
  const onHost = pods.filter((pod) => pod.spec?.hostNetwork === true).flatMap(listenersOf);
  const base = { name: node.name, tables, listeners: [...listeners, ...onHost] };
  // Before it has Pod CIDRs, a node has neither bridge nor overlay.
  if (node.podCidrs.length === 0) return { ...base, ...uplink };
  const ranges = rangesOf(node);
  const bridge = compileBridge(ranges, podMtu(context, node));
  const { state } = context.backend.compile(localNode(context, node), peers);
  const plans = pods.filter(hasNamespace).map((pod) => ({ pod, plan: planPod(context, node, pod) }));
  const ports = plans.map(({ pod, plan }): model.Link => {
    const peer = { namespace: namespaceOf(pod), link: POD_LINK };
    const port = { isolated: true, learning: false };
    return { name: plan.hostLink, type: { kind: "veth", peer }, mtu: plan.mtu, up: true, master: BRIDGE, port };
  });
  const { mac, mtu = 1500 } = bridge.link;
  const sysctls = bridge.sysctls.map(({ name, value }): [string, number] => [name, value]);
  return {
    ...base,
    links: [...uplink.links, { name: BRIDGE, type: { kind: "bridge" }, mac, mtu, up: true }, ...ports, ...overlayLinks(state.links)],
    addrs: [...uplink.addrs, ...bridge.addrs, ...state.addrs],
    routes: [...uplink.routes, ...state.routes],
    neighs: [...state.neighs, ...plans.flatMap(({ plan }) => plan.node.neighs)],
    fdb: [...state.fdb, ...plans.map(({ plan }) => plan.node.fdb)],
    sysctls: Object.fromEntries(state.links.length > 0 ? [...sysctls, [`net/ipv4/conf/${VXLAN_LINK}/rp_filter`, 2]] : sysctls),
  };
}

type OverlayLinks = ReturnType<OverlayBackend["compile"]>["state"]["links"];

function overlayLinks(links: OverlayLinks): model.Link[] {
  return links.flatMap(({ name, mac, mtu, type }): model.Link[] => {
    if (type.kind !== "vxlan") return [];
    return [{ name, type, up: true, ...(mac !== undefined && { mac }), ...(mtu !== undefined && { mtu }) }];
  });
}

/** Undefined where no pod of the node asks for any. */
export function hostPortTable(pods: readonly Stored<Pod>[]): Table | undefined {
  const asking = pods.filter(hasNamespace).toSorted((a, b) => (age(a) < age(b) ? -1 : 1));
  const all = asking.map((pod) => ({ containerId: sandboxOf(pod), pod: keyOf(pod), addrs: addrsOf(pod), mappings: hostPortsOf(pod) }));
  return compileHostPorts(all).table;
}

function age({ metadata }: Stored<Pod>): string {
  return `${metadata.creationTimestamp} ${keyOf({ metadata })}`;
}

/** What others need to know of the node; its MAC follows from its address, whether its agent has told it yet or not. */
export function peerNode({ name, addrs, podCidrs }: ShadowNode, backend: OverlayBackend): PeerNode {
  const vtepMac = backend.vtepMac({ addrs });
  return { name, addrs, podCidrs, ...(vtepMac !== undefined && { vtepMac }) };
}

export const DEFAULT_BACKEND: OverlayBackend = BACKENDS.vxlan;
