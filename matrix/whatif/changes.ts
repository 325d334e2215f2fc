// Random changes of a small cluster: policies that come, become others and go, labels of pods and namespaces, Services that turn to others.
import fc from "fast-check";
import { type Client, isAlreadyExists } from "#client";
import {
  CLUSTER_NETWORK_POLICIES,
  type KubeObject,
  NAMESPACES,
  NETWORK_POLICIES,
  type ObjectKey,
  PODS,
  type Resource,
  SERVICES,
} from "#kube";
import { clusterSpec, spec } from "../../src/insight/whatif/testing/random.ts";

export interface RandomChange {
  readonly text: string;
  readonly objects: readonly KubeObject[];
  readonly isDelete: boolean;
  /** Really does it. */
  apply(client: Client): Promise<void>;
}

const NAMES = ["x", "y", "z"] as const;
export const PODS_OF = ["a", "b", "c"] as const;

/** The same seed makes the same changes. */
export class Changes {
  readonly #seed: number;
  #count = 0;
  /** Those that are there. */
  readonly #policies = new Map<string, KubeObject>();

  constructor(seed: number) {
    this.#seed = seed;
  }

  /** It counts as made when it is applied. */
  next(): RandomChange {
    const kind = this.#pick([
      "policy",
      "policy",
      "policy",
      "policy",
      "tier",
      "delete",
      "delete",
      "delete",
      "pod",
      "pod",
      "namespace",
      "service",
    ] as const);
    const number = this.#count;
    // Who closes more and more ends where nothing changes any more.
    const isFull = this.#policies.size >= 5;
    if (this.#policies.size > 0 && (isFull || kind === "delete")) return this.#delete();
    if (kind === "pod" || kind === "namespace" || kind === "service") return this.#patch(kind);
    if (kind === "tier") {
      return this.#apply({
        apiVersion: "policy.networking.k8s.io/v1alpha2",
        kind: "ClusterNetworkPolicy",
        metadata: { name: `tier-${number % 3}` },
        spec: withoutUndefined({ ...this.#sample(clusterSpec), priority: 1 + (number % 5) }),
      } as KubeObject);
    }
    const metadata = { name: `p${number % 4}`, namespace: this.#pick(NAMES) };
    return this.#apply({ apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", metadata, spec: this.#sample(spec) } as KubeObject);
  }

  #apply(object: KubeObject): RandomChange {
    return {
      text: `apply ${keyOf(object)} ${JSON.stringify("spec" in object ? object.spec : {})}`,
      objects: [object],
      isDelete: false,
      apply: async (client) => {
        this.#policies.set(keyOf(object), object);
        await replace(client, object);
      },
    };
  }

  #delete(): RandomChange {
    const object = this.#pick([...this.#policies.values()]);
    const resource: Resource = object.kind === "NetworkPolicy" ? NETWORK_POLICIES : CLUSTER_NETWORK_POLICIES;
    return {
      text: `delete ${keyOf(object)}`,
      objects: [object],
      isDelete: true,
      apply: async (client) => {
        this.#policies.delete(keyOf(object));
        await client.delete(resource, nameOf(object));
      },
    };
  }

  #patch(kind: "pod" | "namespace" | "service"): RandomChange {
    const namespace = this.#pick(NAMES);
    const labels = { app: this.#pick(["web", "db", "cache"]), tier: this.#pick(["a", "b"]) };
    const team = { team: this.#pick(["red", "blue"]) };
    // With all labels that were applied: those that it left out would be taken to go, and a merge patch removes nothing.
    const pod = (name: string): KubeObject => ({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace, labels: { pod: name, ...labels } },
    });
    const [resource, object]: [Resource, KubeObject] =
      kind === "pod"
        ? [PODS, pod(this.#pick(PODS_OF))]
        : kind === "namespace"
          ? [NAMESPACES, { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace, labels: team } }]
          : [
              SERVICES,
              {
                apiVersion: "v1",
                kind: "Service",
                metadata: { name: "one", namespace },
                spec: { selector: { pod: this.#pick(PODS_OF) } },
              } as KubeObject,
            ];
    return {
      text: `patch ${keyOf(object)} ${JSON.stringify(kind === "service" ? object : object.metadata?.labels)}`,
      objects: [object],
      isDelete: false,
      apply: async (client) => void (await client.patch(resource, nameOf(object), { type: "merge", body: object })),
    };
  }

  #sample<T>(arbitrary: fc.Arbitrary<T>): T {
    const [value] = fc.sample(arbitrary, { seed: this.#seed * 7919 + this.#count++, numRuns: 1 });
    if (value === undefined) throw new Error("fast-check gave no sample");
    return value;
  }

  #pick<T>(values: readonly T[]): T {
    return this.#sample(fc.constantFrom(...values));
  }
}

/** Policies are the manifest's, whole, as what-if takes them. */
async function replace(client: Client, object: KubeObject): Promise<void> {
  const resource: Resource = object.kind === "NetworkPolicy" ? NETWORK_POLICIES : CLUSTER_NETWORK_POLICIES;
  try {
    await client.create(resource, object);
  } catch (err) {
    if (!isAlreadyExists(err)) throw err;
    await client.update(resource, object);
  }
}

function keyOf({ kind, metadata }: KubeObject): string {
  return `${kind} ${metadata?.namespace === undefined ? "" : `${metadata.namespace}/`}${metadata?.name}`;
}

function nameOf({ metadata }: KubeObject): ObjectKey {
  return { namespace: metadata?.namespace, name: metadata?.name ?? "" };
}

/** Fields that are undefined are not there for the API. */
function withoutUndefined<T>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T;
}
