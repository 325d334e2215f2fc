// Where ClusterNetworkPolicies come from, where the API has them; and the nodes, as long as a policy asks for them.
import type { Node } from "kubernetes-types/core/v1";
import { createInformer, dropManagedFields, type Informer, isNotFound } from "#client";
import { CLUSTER_NETWORK_POLICIES, type ClusterNetworkPolicy, NODES, type Stored } from "#kube";
import { nodeFacts, thinNode } from "#netpol";
import type { PolicyState } from "./state.ts";
import type { PoliciesOptions } from "./types.ts";

/** A cluster to which somebody adds the custom resource is found out after so long. */
const RETRY_ABSENT_MS = 60_000;

export class ClusterSources {
  /** Resolves when the policies are known, and the nodes that they ask for. */
  readonly synced: Promise<void>;
  readonly #o: PoliciesOptions;
  readonly #state: PolicyState;
  readonly #changed: (isOther: boolean) => void;
  readonly #policies: Informer<ClusterNetworkPolicy>;
  #nodes: Informer<Node> | undefined;

  constructor(options: PoliciesOptions, state: PolicyState, changed: (isOther: boolean) => void) {
    this.#o = options;
    this.#state = state;
    this.#changed = changed;
    const { client, logger, signal } = options;
    this.#policies = createInformer(client, CLUSTER_NETWORK_POLICIES, {
      logger,
      signal,
      retryAbsentMs: RETRY_ABSENT_MS,
      transform: dropManagedFields,
    });
    this.#policies.subscribe(({ type, object }) => this.#policyChanged(type === "set", object));
    this.synced = this.#policies.synced.then(() => this.#nodes?.synced);
  }

  /** The versions of those that are there now; none where the API does not have the kind. Throws what the API says. */
  async versions(): Promise<string[]> {
    try {
      const { items } = await this.#o.client.list(CLUSTER_NETWORK_POLICIES);
      return items.map(({ metadata }) => metadata.resourceVersion);
    } catch (err) {
      if (isNotFound(err)) return [];
      throw err;
    }
  }

  hasSeen(version: string): boolean {
    return this.#policies.hasSeen(version);
  }

  stop(): void {
    this.#policies.stop();
    this.#nodes?.stop();
  }

  #policyChanged(isThere: boolean, object: Stored<ClusterNetworkPolicy>): void {
    if (isThere) {
      const { name, problems } = this.#state.setClusterPolicy(object);
      if (problems.length > 0)
        this.#o.logger.warn("a part of a ClusterNetworkPolicy is not enforced as it is written", { policy: name, problems });
    } else this.#state.removeClusterPolicy(object.metadata.name);
    this.#followNodes();
    this.#changed(true);
  }

  #followNodes(): void {
    const { client, logger, signal } = this.#o;
    const isWanted = this.#state.asksForNodes;
    if (isWanted === (this.#nodes !== undefined)) return;
    if (!isWanted) {
      this.#nodes?.stop();
      for (const { metadata } of this.#nodes?.list() ?? []) this.#state.setNode(metadata.name, undefined);
      this.#nodes = undefined;
      return;
    }
    this.#nodes = createInformer(client, NODES, { logger, signal, transform: thinNode });
    this.#nodes.subscribe(({ type, key, object }) =>
      this.#changed(this.#state.setNode(key, type === "set" ? nodeFacts(object) : undefined)),
    );
  }
}
