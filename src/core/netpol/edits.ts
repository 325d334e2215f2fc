// Edits of objects, applied to what is known of them. Pure.
import { keyOf, type Stored } from "#kube";
import { parseClusterPolicy } from "./cluster-parse.ts";
import type { ClusterPolicy } from "./cluster-types.ts";
import type { Edit, Flow, FlowEnd, World } from "./judge-types.ts";
import { parsePolicy } from "./parse.ts";
import type { NetworkPolicy, Policy } from "./types.ts";

/** As the world would be. Edits of what is not there change nothing; what has not changed is the same object. */
export function applyEdits(world: World, edits: readonly Edit[]): World {
  return edits.reduce(applyEdit, world);
}

function applyEdit(world: World, edit: Edit): World {
  const { cluster, policies, clusterPolicies = [] } = world;
  if (edit.kind === "insert") {
    if (edit.policy.kind === "ClusterNetworkPolicy")
      return { ...world, clusterPolicies: clusterPolicies.map((one) => withInsert(one, edit)) };
    const after = new Map(policies);
    applyInsert(after, edit);
    return { ...world, policies: after };
  }
  if (edit.object === "Namespace") {
    const labels = cluster.namespaces.get(edit.name);
    if (labels === undefined) return world;
    return { ...world, cluster: { ...cluster, namespaces: new Map(cluster.namespaces).set(edit.name, relabelled(labels, edit)) } };
  }
  const pod = cluster.pods.get(edit.name);
  if (pod === undefined) return world;
  return {
    ...world,
    cluster: { ...cluster, pods: new Map(cluster.pods).set(edit.name, { ...pod, labels: relabelled(pod.labels, edit) }) },
  };
}

/** The same flow with what is now known of its pods. */
export function renewed(world: World, flow: Flow): Flow {
  const end = (given: FlowEnd): FlowEnd => {
    const pod = given.pod === undefined ? undefined : world.cluster.pods.get(given.pod.key);
    return pod === undefined ? given : { ...given, pod };
  };
  return { ...flow, from: end(flow.from), to: end(flow.to) };
}

function relabelled(labels: Readonly<Record<string, string>>, { set, remove }: Extract<Edit, { kind: "label" }>): Record<string, string> {
  return { ...Object.fromEntries(Object.entries(labels).filter(([key]) => !remove.includes(key))), ...set };
}

function withInsert(policy: ClusterPolicy, edit: Extract<Edit, { kind: "insert" }>): ClusterPolicy {
  if (edit.policy.key !== policy.name) return policy;
  const { spec } = insertInto({ spec: policy.spec }, edit.path, edit.value) as { spec: NonNullable<ClusterPolicy["spec"]> };
  const metadata = { name: policy.name, uid: "", resourceVersion: "", creationTimestamp: "" };
  return parseClusterPolicy({ apiVersion: "policy.networking.k8s.io/v1alpha2", kind: "ClusterNetworkPolicy", metadata, spec });
}

function applyInsert(policies: Map<string, ReadonlyMap<string, Policy>>, edit: Extract<Edit, { kind: "insert" }>): void {
  const [namespace = "", name = ""] = edit.policy.key.split("/");
  const own = policies.get(namespace);
  const policy = own?.get(edit.policy.key);
  if (own === undefined || policy === undefined) return;
  const { spec } = insertInto({ spec: policy.spec }, edit.path, edit.value) as { spec: Policy["spec"] };
  const metadata = { name, namespace, uid: "", resourceVersion: "", creationTimestamp: "" };
  const object: Stored<NetworkPolicy> = { apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", metadata, spec };
  policies.set(namespace, new Map(own).set(keyOf(object), parsePolicy(object)));
}

/** A copy of the object with the value in the list at `spec.ingress[0].from[1]`, before what is there. Absent lists are made. */
export function insertInto(object: unknown, path: string, value: unknown): unknown {
  const steps = path.split(/[.[\]]+/).filter((step) => step !== "");
  return inserted(object, steps, value);
}

function inserted(node: unknown, [step = "", ...rest]: readonly string[], value: unknown): unknown {
  if (/^\d+$/.test(step)) {
    const list: readonly unknown[] = Array.isArray(node) ? node : [];
    const index = Number(step);
    return rest.length === 0 ? list.toSpliced(index, 0, value) : list.map((item, i) => (i === index ? inserted(item, rest, value) : item));
  }
  const object = typeof node === "object" && node !== null ? (node as Readonly<Record<string, unknown>>) : {};
  return { ...object, [step]: inserted(object[step], rest, value) };
}
