// The policy tables of all nodes of a cluster, from objects at hand: for whoever wants to know what kernels would hold, without one. Pure.
import type { Namespace, Node, Pod } from "kubernetes-types/core/v1";
import { type ClusterNetworkPolicy, keyOf, type Stored } from "#kube";
import { type NetworkPolicy, nodeFacts, podFacts } from "#netpol";
import type { Chain, Table } from "#nft";
import { compile } from "./compile.ts";
import type { Established } from "./layout.ts";
import { snapshotOf } from "./live-set.ts";
import { PolicyState } from "./state.ts";
import type { Subject } from "./types.ts";

export interface PolicyObjects {
  readonly pods: readonly Stored<Pod>[];
  readonly namespaces: readonly Stored<Namespace>[];
  readonly networkPolicies: readonly Stored<NetworkPolicy>[];
  /** Default: none. */
  readonly clusterNetworkPolicies?: readonly Stored<ClusterNetworkPolicy>[];
  /** What `nodes` of ClusterNetworkPolicies mean. Default: none. */
  readonly nodes?: readonly Stored<Node>[];
}

/** The objects of one kind as they were last time. An object is never changed: another one is a change. */
class Known<T extends Stored> {
  #objects: ReadonlyMap<string, T> = new Map();

  /** Whether anything has changed. */
  update(list: readonly T[], set: (object: T) => void, remove: (object: T) => void): boolean {
    const next = new Map(list.map((object) => [keyOf(object), object]));
    let isOther = false;
    for (const [key, object] of this.#objects) {
      if (next.has(key)) continue;
      remove(object);
      isOther = true;
    }
    for (const [key, object] of next) {
      if (this.#objects.get(key) === object) continue;
      set(object);
      isOther = true;
    }
    this.#objects = next;
    return isOther;
  }
}

export class PolicyTables {
  readonly #established: Established;
  // Of no node: what the API says of a pod's addresses counts for all.
  readonly #state = new PolicyState("");
  readonly #pods = new Known<Stored<Pod>>();
  readonly #namespaces = new Known<Stored<Namespace>>();
  readonly #policies = new Known<Stored<NetworkPolicy>>();
  readonly #clusterPolicies = new Known<Stored<ClusterNetworkPolicy>>();
  readonly #nodes = new Known<Stored<Node>>();
  readonly #tables = new Map<string, Table>();
  readonly #chains = new Map<string, Map<string, Chain>>();

  constructor(established: Established = "cut") {
    this.#established = established;
  }

  /** Costs what has changed since the last time. */
  update({ pods, namespaces, networkPolicies, clusterNetworkPolicies = [], nodes = [] }: PolicyObjects): void {
    const state = this.#state;
    const changed = [
      this.#namespaces.update(
        namespaces,
        ({ metadata }) => state.setNamespace(metadata.name, metadata.labels ?? {}),
        ({ metadata }) => state.setNamespace(metadata.name, undefined),
      ),
      this.#pods.update(
        pods,
        (pod) => state.setPod(podFacts(pod)),
        (pod) => state.removePod(keyOf(pod)),
      ),
      this.#policies.update(
        networkPolicies,
        (policy) => state.setPolicy(policy),
        (policy) => state.removePolicy({ key: keyOf(policy), namespace: policy.metadata.namespace ?? "" }),
      ),
      this.#clusterPolicies.update(
        clusterNetworkPolicies,
        (policy) => state.setClusterPolicy(policy),
        ({ metadata }) => state.removeClusterPolicy(metadata.name),
      ),
      this.#nodes.update(
        nodes,
        (node) => state.setNode(node.metadata.name, nodeFacts(node)),
        ({ metadata }) => state.setNode(metadata.name, undefined),
      ),
    ];
    if (changed.includes(true)) this.#tables.clear();
  }

  /** What a node's kernel should hold. Sets that are the same on two nodes, or as they were before a change, may be the same objects. */
  table(nodeName: string): Table {
    const made = this.#tables.get(nodeName);
    if (made !== undefined) return made;
    const { pods, known } = this.#state;
    known.takePatches();
    const subjects: Subject[] = [];
    for (const facts of pods.values()) {
      if (facts.nodeName === nodeName && facts.isPeer && facts.addrs.length > 0) subjects.push({ addrs: facts.addrs, facts });
    }
    const rules = new Map(known);
    const chains = this.#chains.get(nodeName) ?? new Map<string, Chain>();
    this.#chains.set(nodeName, chains);
    const compiled = compile({ ...this.#state.compileInput(), subjects, known: rules, chains, established: this.#established });
    for (const [id, rule] of rules) if (known.get(id) !== rule) known.set(id, rule);
    // The state goes on, and its sets with it.
    const table: Table = { ...compiled.table, sets: compiled.table.sets.map(snapshotOf) };
    this.#tables.set(nodeName, table);
    return table;
  }
}
