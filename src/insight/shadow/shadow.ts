// From API objects to what every kernel of the cluster would hold. Pure: the compilers are those of the rooms that write to kernels.
import type { Node, Pod } from "kubernetes-types/core/v1";
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import { tryParseAddr } from "#ip";
import { keyOf, type Stored } from "#kube";
import * as model from "#model";
import type { Table } from "#nft";
import { BACKENDS, compileMasquerade, type PeerNode, peersOf } from "#overlay";
import { PolicyTables } from "#policy";
import { type ClusterCidrs, type ProxyNode, primaryAddresses, serviceTable } from "#proxy";
import { keepEqual, Memo } from "./memo.ts";
import { DEFAULT_BACKEND, hostPortTable, type NodeContext, nodeNamespace, peerNode, podNamespace, type ShadowNode } from "./node.ts";
import { hasNamespace, isAlive, namespaceOf } from "./pods.ts";
import type { ShadowObjects, ShadowOptions, UnderlayPlan } from "./types.ts";
import { isRouter, OUTSIDE, outsideNamespace, planUnderlay, ROUTER, routerNamespace } from "./underlay.ts";

const SERVICE_NAME = "kubernetes.io/service-name";
const ZONE = "topology.kubernetes.io/zone";
const KUBELET: model.Listener = { protocol: model.TCP, port: 10_250, name: "kubelet" };
const NOBODY: readonly model.Listener[] = [];

/** Many states of one cluster: what two of them share, of what comes out too, are the same objects. */
export interface Shadow {
  /** Costs what is other than in the state before. */
  network(objects: ShadowObjects): model.NetworkState;
}

export function createShadow(options: ShadowOptions = {}): Shadow {
  return new Cluster(options);
}

/** One state. */
export function shadowNetwork(objects: ShadowObjects, options: ShadowOptions = {}): model.NetworkState {
  return createShadow(options).network(objects);
}

interface Around {
  readonly context: NodeContext;
  readonly nodes: readonly ShadowNode[];
  readonly peers: readonly PeerNode[];
  readonly cidrs: Pick<ClusterCidrs, "podCidrs" | "serviceCidrs">;
  readonly masquerade: Table;
}

class Cluster implements Shadow {
  readonly #options: ShadowOptions;
  readonly #memo = new Memo();
  readonly #policies: PolicyTables;

  constructor(options: ShadowOptions) {
    this.#options = options;
    this.#policies = new PolicyTables(options.policyEstablished);
  }

  network(objects: ShadowObjects): model.NetworkState {
    const memo = this.#memo;
    const nodes = memo.list("nodes", objects.nodes);
    const around = memo.get<Around>("around", [nodes], () => this.#around(nodes));
    this.#policies.update(objects);
    const podsOf = Map.groupBy(objects.pods.filter(isAlive), ({ spec }) => spec?.nodeName ?? "");
    const namespaces = around.nodes.flatMap((node) => this.#node(objects, around, { node, pods: podsOf.get(node.name) ?? [] }));
    const { underlay } = around.context;
    const slices = memo.list("slices", objects.endpointSlices);
    const others = [
      memo.get(ROUTER, [around, slices], () => {
        const listeners = [...routerListeners(underlay, slices), ...this.#listeners(ROUTER)];
        return routerNamespace(underlay, around.nodes, listeners);
      }),
      memo.get(OUTSIDE, [underlay], () => outsideNamespace(underlay, this.#listeners(OUTSIDE))),
    ];
    memo.endRun();
    return { namespaces: [...namespaces, ...others] };
  }

  #listeners(namespace: string, otherwise: readonly model.Listener[] = NOBODY): readonly model.Listener[] {
    return this.#options.listeners?.[namespace] ?? otherwise;
  }

  #around(objects: readonly Stored<Node>[]): Around {
    const { overlay, underlay, podCidrs, serviceCidrs = [] } = this.#options;
    const backend = overlay === undefined ? DEFAULT_BACKEND : BACKENDS[overlay];
    // Also checks what Nodes say.
    const { peers } = peersOf(objects, podCidrs ?? []);
    const nodes = peers.map(({ name, addrs, podCidrs: own }): ShadowNode => ({ name, addrs, podCidrs: own }));
    const all = podCidrs ?? nodes.flatMap((node) => node.podCidrs);
    return {
      context: { backend, underlay: underlay ?? planUnderlay(nodes.flatMap(({ addrs }) => addrs)) },
      nodes,
      peers: nodes.map((node) => peerNode(node, backend)),
      cidrs: { podCidrs: all, serviceCidrs },
      masquerade: compileMasquerade(all),
    };
  }

  /** The node's namespace and those of its pods. */
  #node(objects: ShadowObjects, around: Around, on: { node: ShadowNode; pods: readonly Stored<Pod>[] }): model.Namespace[] {
    const memo = this.#memo;
    const { node } = on;
    const { context } = around;
    const pods = memo.list(`pods of ${node.name}`, on.pods);
    const tables = memo.list(`tables of ${node.name}`, this.#tables(objects, around, { node, pods }));
    const self = memo.get(node.name, [around, pods, tables], () =>
      nodeNamespace(context, {
        node,
        peers: around.peers.filter(({ name }) => name !== node.name),
        pods,
        tables,
        listeners: this.#listeners(node.name, [KUBELET]),
      }),
    );
    const own = pods.filter(hasNamespace).map((pod) => {
      const name = namespaceOf(pod);
      return memo.get(name, [around, pod], () => podNamespace(context, node, { pod, listeners: this.#listeners(name) }));
    });
    return [self, ...own];
  }

  /** In the order in which an agent makes them. */
  #tables(objects: ShadowObjects, around: Around, { node, pods }: { node: ShadowNode; pods: readonly Stored<Pod>[] }): Table[] {
    const memo = this.#memo;
    const { name } = node;
    const services = memo.list("services", objects.services);
    const slices = memo.list("slices", objects.endpointSlices);
    const slicesOf = memo.get("slices by service", [slices], () => Map.groupBy(slices, serviceOf));
    const object = objects.nodes.find(({ metadata }) => metadata.name === name);
    const proxy = memo.get<Table>(`services of ${name}`, [around, object, services, slicesOf], (old) => {
      const cidrs = { ...around.cidrs, ...(node.podCidrs.length > 0 && { localPodCidrs: node.podCidrs }) };
      const self = object === undefined ? { name, addresses: node.addrs } : proxyNode(object);
      return keepEqual(old, serviceTable({ services, slicesOf: (key) => slicesOf.get(key) ?? [], node: self, cidrs }));
    });
    const compiled = this.#policies.table(name);
    const policy = memo.get<Table>(`policies of ${name}`, [compiled], (old) => keepEqual(old, compiled));
    const ports = memo.get<Table | undefined>(`host ports of ${name}`, [pods], (old) => {
      const table = hostPortTable(pods);
      return table && keepEqual(old, table);
    });
    return [around.masquerade, policy, proxy, ...(ports === undefined ? [] : [ports])];
  }
}

function serviceOf({ metadata }: Stored<EndpointSlice>): string {
  return `${metadata.namespace}/${metadata.labels?.[SERVICE_NAME]}`;
}

function proxyNode(node: Stored<Node>): ProxyNode {
  const zone = node.metadata.labels?.[ZONE];
  return { name: keyOf(node), addresses: primaryAddresses(node), ...(zone !== undefined && { zone }) };
}

/** What Services find at the router: the API server. */
function routerListeners(plan: UnderlayPlan, slices: readonly Stored<EndpointSlice>[]): model.Listener[] {
  const found = new Map<number, model.Listener>();
  for (const slice of slices) {
    const addrs = (slice.endpoints ?? []).flatMap(({ addresses }) => addresses.map((text) => tryParseAddr(text)));
    if (!addrs.some((addr) => addr !== undefined && isRouter(plan, addr))) continue;
    for (const { port } of slice.ports ?? []) {
      if (port !== undefined && !found.has(port)) found.set(port, { protocol: model.TCP, port, name: serviceOf(slice) });
    }
  }
  return [...found.values()];
}
