// A shadow of the cluster after a change: objects applied to it, or deleted. Pure.
//
// As `apply` does it: what a manifest says is set, what it does not say stays, but for labels and selectors that it said when it was
// applied before. The spec of a policy is the manifest's own, whole.
import type { Namespace, Pod, Service, ServicePort } from "kubernetes-types/core/v1";
import { InputError } from "#base";
import { applyMergePatch, type Json, type KubeObject, type Stored } from "#kube";
import { refreshSlices } from "./endpoints.ts";
import { leftOut, withNulls } from "./left-out.ts";
import type { Objects } from "./objects.ts";
import { applyWorkload, isWorkload } from "./workloads.ts";

/** One object of a manifest, and where it stands: `file.yaml, document 2`. */
export interface ChangedObject {
  readonly object: KubeObject;
  readonly where: string;
}

export interface Changes {
  readonly objects: readonly ChangedObject[];
  /** Take them out instead. */
  readonly isDelete: boolean;
  /** For objects of a namespace that do not say which. */
  readonly namespace: string;
}

export interface Shadow {
  readonly objects: Objects;
  /** What the change does not do, or what had to be assumed. */
  readonly notes: readonly string[];
}

type Mutable = { -readonly [K in keyof Objects]: Objects[K] extends ReadonlyMap<string, infer V> ? Map<string, V> : never };

interface Kind {
  readonly apiGroup: string;
  readonly list: keyof Objects;
  readonly namespaced: boolean;
  /** Its spec is not merged but replaced. */
  readonly isWhole?: boolean;
}

const KINDS: Readonly<Record<string, Kind>> = {
  Namespace: { apiGroup: "", list: "namespaces", namespaced: false },
  Node: { apiGroup: "", list: "nodes", namespaced: false },
  Pod: { apiGroup: "", list: "pods", namespaced: true },
  Service: { apiGroup: "", list: "services", namespaced: true },
  EndpointSlice: { apiGroup: "discovery.k8s.io", list: "slices", namespaced: true },
  NetworkPolicy: { apiGroup: "networking.k8s.io", list: "policies", namespaced: true, isWhole: true },
  ClusterNetworkPolicy: { apiGroup: "policy.networking.k8s.io", list: "clusterPolicies", namespaced: false, isWhole: true },
};

/** Throws InputError, with file, document and field, for an object that cannot be what it says. */
export function applyChanges(live: Objects, { objects, isDelete, namespace }: Changes): Shadow {
  const shadow = copyOf(live);
  const notes: string[] = [];
  // What is made in a namespace goes before it.
  for (const { object, where } of isDelete ? objects.toReversed() : objects) {
    const given = normalised({ object, where }, namespace);
    if (isWorkload(given)) notes.push(...applyWorkload(shadow.pods, given, { where, isDelete, nodes: shadow.nodes }));
    else applyOne(shadow, { object: given, where }, { isDelete, notes });
  }
  for (const { metadata } of [...shadow.policies.values(), ...shadow.pods.values()]) {
    const own = metadata.namespace ?? "";
    if (shadow.namespaces.has(own) || live.namespaces.has(own)) continue;
    shadow.namespaces.set(own, stored<Namespace>({ apiVersion: "v1", kind: "Namespace", metadata: { name: own } }));
    notes.push(`namespace "${own}" does not exist; it is taken to be created, without labels of its own`);
  }
  for (const [name, object] of shadow.namespaces) shadow.namespaces.set(name, withName(object));
  notes.push(...refreshSlices(live, shadow));
  return { objects: shadow, notes };
}

function copyOf(live: Objects): Mutable {
  return {
    namespaces: new Map(live.namespaces),
    nodes: new Map(live.nodes),
    pods: new Map(live.pods),
    services: new Map(live.services),
    slices: new Map(live.slices),
    policies: new Map(live.policies),
    clusterPolicies: new Map(live.clusterPolicies),
  };
}

/** With a namespace where its kind has one. */
function normalised({ object, where }: ChangedObject, namespace: string): Stored {
  const { metadata } = object;
  if (typeof metadata?.name !== "string" || metadata.name === "") throw new InputError(`${where}: metadata.name`, "is missing");
  for (const [key, value] of Object.entries(metadata.labels ?? {})) {
    const given: unknown = value;
    if (typeof given !== "string") throw new InputError(`${where}: metadata.labels["${key}"]`, `${JSON.stringify(given)} is not text`);
  }
  const kind = KINDS[object.kind ?? ""];
  const isNamespaced = kind?.namespaced ?? isWorkload(object);
  if (!isNamespaced || metadata.namespace !== undefined) return stored(object);
  return stored({ ...object, metadata: { ...metadata, namespace } });
}

function stored<T extends KubeObject>(object: T): Stored<T> {
  const { metadata = {} } = object;
  const name = metadata.name ?? "";
  return {
    ...object,
    apiVersion: object.apiVersion ?? "v1",
    kind: object.kind ?? "",
    metadata: { creationTimestamp: "", resourceVersion: "", uid: `${object.kind} ${name}`, ...metadata, name },
  };
}

function applyOne(
  shadow: Mutable,
  { object, where }: { readonly object: Stored; readonly where: string },
  { isDelete, notes }: { readonly isDelete: boolean; readonly notes: string[] },
): void {
  const kind = KINDS[object.kind];
  const group = object.apiVersion.includes("/") ? object.apiVersion.slice(0, object.apiVersion.indexOf("/")) : "";
  if (kind === undefined || kind.apiGroup !== group) {
    notes.push(`${where}: ${object.kind} "${object.metadata.name}" (${object.apiVersion}) has no effect on the network`);
    return;
  }
  const key = kind.namespaced ? `${object.metadata.namespace}/${object.metadata.name}` : object.metadata.name;
  // The list is the kind's own, so what is put in is what it holds.
  const list = shadow[kind.list] as Map<string, Stored>;
  if (isDelete) {
    if (!list.delete(key)) notes.push(`${where}: there is no ${object.kind} "${key}" to delete`);
    if (kind.list === "namespaces") deleteNamespace(shadow, key);
    if (kind.list === "nodes") deleteWhere(shadow.pods, (pod) => pod.spec?.nodeName === key);
    return;
  }
  const old = list.get(key);
  const left = old === undefined ? [] : leftOut(old, object);
  for (const { map, key: name, by } of left) {
    notes.push(
      `${where}: ${object.kind} "${key}" loses ${map.join(".")}["${name}"]: ${by} applied it before, and the file does not have it`,
    );
  }
  const made = old === undefined ? object : merged(old, withNulls(object, left), kind.isWhole === true);
  list.set(key, kind.list === "pods" ? withStatus(made as Stored<Pod>) : made);
}

function deleteNamespace(shadow: Mutable, name: string): void {
  for (const list of [shadow.pods, shadow.services, shadow.slices, shadow.policies]) {
    deleteWhere(list as Map<string, Stored>, ({ metadata }) => metadata.namespace === name);
  }
}

function deleteWhere<T>(list: Map<string, T>, isOut: (value: T) => boolean): void {
  for (const [key, value] of list) if (isOut(value)) list.delete(key);
}

/** Identity and status stay the live object's. */
function merged(old: Stored, given: Stored, isWhole: boolean): Stored {
  const { uid: _, resourceVersion: __, creationTimestamp: ___, ...metadata } = given.metadata;
  const patch = { ...given, metadata } as unknown as Json;
  // Objects of the API are JSON: what comes out of the patch is what the API server would store.
  const next = applyMergePatch(old as unknown as Json, patch) as unknown as Stored;
  if (given.kind === "Service") return withKnownPorts(next as Stored<Service>, old as Stored<Service>);
  return isWhole && "spec" in given ? ({ ...next, spec: given.spec } as Stored) : next;
}

/** What a manifest leaves out of a port that is there, such as its nodePort, stays (ports are known by number and protocol). */
function withKnownPorts(next: Stored<Service>, old: Stored<Service>): Stored<Service> {
  const { ports } = next.spec ?? {};
  if (ports === undefined) return next;
  const known = (port: ServicePort): Partial<ServicePort> =>
    old.spec?.ports?.find((own) => own.port === port.port && (own.protocol ?? "TCP") === (port.protocol ?? "TCP")) ?? {};
  return { ...next, spec: { ...next.spec, ports: ports.map((port) => ({ ...known(port), ...port })) } };
}

/** A pod-to-be is taken to run. */
function withStatus(pod: Stored<Pod>): Stored<Pod> {
  if (pod.status?.phase !== undefined) return pod;
  return { ...pod, status: { ...pod.status, phase: "Running", conditions: [{ type: "Ready", status: "True" }] } };
}

/** The API server sets it (KEP-2161). */
function withName(object: Stored<Namespace>): Stored<Namespace> {
  const { name, labels = {} } = object.metadata;
  if (labels["kubernetes.io/metadata.name"] === name) return object;
  return { ...object, metadata: { ...object.metadata, labels: { ...labels, "kubernetes.io/metadata.name": name } } };
}
