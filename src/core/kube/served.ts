// What the API serves of each resource: its verbs and subresources, as discovery lists them and OpenAPI describes them
// (`kubectl get --raw /api/v1` of Kubernetes 1.33), and the resources that are only questions, without stored objects.
import { RESOURCES } from "./resources.ts";
import type { Resource } from "./types.ts";

type Kind = Pick<Resource, "group" | "version" | "kind">;

export interface ApiSubresource {
  /** The last part of the path: `status`, `scale`, `binding`, `log`. */
  readonly name: string;
  /** What its bodies are: the resource's own kind, or for example autoscaling/v1 Scale. */
  readonly kind: Kind;
  /** As discovery lists them. */
  readonly verbs: readonly string[];
  /** Not a REST object: a stream, a log, a proxied answer. */
  readonly connects?: boolean;
}

/** A resource as it is served: with its verbs as discovery lists them, and its subresources. */
export interface ApiResource {
  readonly resource: Resource;
  readonly verbs: readonly string[];
  readonly subresources: readonly ApiSubresource[];
}

const STORED_VERBS: readonly string[] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const PART_VERBS: readonly string[] = ["get", "patch", "update"];
const PROXY_VERBS: readonly string[] = ["create", "delete", "get", "patch", "update"];

const SCALE: Kind = { group: "autoscaling", version: "v1", kind: "Scale" };

function core(kind: string): Kind {
  return { group: "", version: "v1", kind };
}

function part(name: string, kind: Kind, verbs: readonly string[] = PART_VERBS): ApiSubresource {
  return { name, kind, verbs };
}

function connect(name: string, kind: string, verbs: readonly string[]): ApiSubresource {
  return { name, kind: core(kind), verbs, connects: true };
}

/** By `group/plural`; `status` and `scale` are added below. */
const FURTHER: Readonly<Record<string, readonly ApiSubresource[]>> = {
  "/pods": [
    connect("attach", "PodAttachOptions", ["create", "get"]),
    part("binding", core("Binding"), ["create"]),
    part("ephemeralcontainers", core("Pod")),
    part("eviction", { group: "policy", version: "v1", kind: "Eviction" }, ["create"]),
    connect("exec", "PodExecOptions", ["create", "get"]),
    { ...part("log", core("Pod"), ["get"]), connects: true },
    connect("portforward", "PodPortForwardOptions", ["create", "get"]),
    connect("proxy", "PodProxyOptions", PROXY_VERBS),
    part("resize", core("Pod")),
  ],
  "/namespaces": [part("finalize", core("Namespace"), ["update"])],
  "/nodes": [connect("proxy", "NodeProxyOptions", PROXY_VERBS)],
  "/services": [connect("proxy", "ServiceProxyOptions", PROXY_VERBS)],
  "/serviceaccounts": [part("token", { group: "authentication.k8s.io", version: "v1", kind: "TokenRequest" }, ["create"])],
};

const WITHOUT_STATUS: ReadonlySet<string> = new Set([
  "/configmaps",
  "/endpoints",
  "/events",
  "/limitranges",
  "/secrets",
  "/serviceaccounts",
  "apps/controllerrevisions",
  "coordination.k8s.io/leases",
  "discovery.k8s.io/endpointslices",
  "events.k8s.io/events",
  "networking.k8s.io/ingressclasses",
  "networking.k8s.io/ipaddresses",
  "networking.k8s.io/networkpolicies",
]);

const SCALED: ReadonlySet<string> = new Set(["/replicationcontrollers", "apps/deployments", "apps/replicasets", "apps/statefulsets"]);

function served(resource: Resource): ApiResource {
  const key = `${resource.group}/${resource.plural}`;
  const own: Kind = { group: resource.group, version: resource.version, kind: resource.kind };
  const subresources = [
    ...(FURTHER[key] ?? []),
    ...(SCALED.has(key) ? [part("scale", SCALE)] : []),
    ...(WITHOUT_STATUS.has(key) ? [] : [part("status", own)]),
  ].sort((a, b) => (a.name < b.name ? -1 : 1));
  const verbs = key === "/namespaces" ? STORED_VERBS.filter((verb) => verb !== "deletecollection") : STORED_VERBS;
  return { resource, verbs, subresources };
}

function question(group: string, kind: string, namespaced = false): ApiResource {
  const singular = kind.toLowerCase();
  const resource: Resource = { group, version: "v1", kind, plural: `${singular}s`, singular, shortNames: [], categories: [], namespaced };
  return { resource, verbs: ["create"], subresources: [] };
}

/** Resources of which nothing is stored: what is posted is answered. */
const QUESTIONS: readonly ApiResource[] = [
  question("", "Binding", true),
  question("authentication.k8s.io", "SelfSubjectReview"),
  question("authentication.k8s.io", "TokenReview"),
  question("authorization.k8s.io", "LocalSubjectAccessReview", true),
  question("authorization.k8s.io", "SelfSubjectAccessReview"),
  question("authorization.k8s.io", "SelfSubjectRulesReview"),
  question("authorization.k8s.io", "SubjectAccessReview"),
];

/** Everything that the API serves: the stored resources and the questions. */
export const API_RESOURCES: readonly ApiResource[] = [...RESOURCES.map(served), ...QUESTIONS];
