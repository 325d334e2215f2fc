// Required affinity and anti-affinity between pods (kubernetes `plugins/interpodaffinity`). Preferred terms are not looked at.
import type { Pod, PodAffinityTerm } from "kubernetes-types/core/v1";
import { matchLabelSelector, type Stored } from "#kube";
import type { NodeState } from "./cluster.ts";

/** What a pod's own terms and those of the pods that run say, found once for all nodes. */
export interface AffinityView {
  /** `key=value` of topologies where a pod must not go. */
  readonly forbidden: ReadonlySet<string>;
  /** For each of the pod's own affinity terms, the topologies where it may go; undefined: anywhere. */
  readonly required: readonly { readonly key: string; readonly domains: ReadonlySet<string> | undefined }[];
  /** Of its own anti-affinity terms. */
  readonly repelled: ReadonlySet<string>;
}

const NOTHING: AffinityView = { forbidden: new Set(), required: [], repelled: new Set() };

export function viewAffinity(pod: Stored<Pod>, nodes: readonly NodeState[]): AffinityView {
  const affinity = pod.spec?.affinity?.podAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [];
  const antiAffinity = antiAffinityTerms(pod);
  const forbidden = new Set<string>();
  const repelled = new Set<string>();
  const required = affinity.map((term) => ({ term, key: term.topologyKey, domains: new Set<string>() }));
  let someoneRepels = false;
  for (const { node, pods } of nodes) {
    for (const other of pods.values()) {
      const theirs = antiAffinityTerms(other);
      if (theirs.length > 0) someoneRepels = true;
      for (const term of theirs) if (matchesTerm(term, other, pod)) addDomain(forbidden, node, term.topologyKey);
      for (const term of antiAffinity) if (matchesTerm(term, pod, other)) addDomain(repelled, node, term.topologyKey);
      for (const { term, domains } of required) if (matchesTerm(term, pod, other)) addDomain(domains, node, term.topologyKey);
    }
  }
  if (affinity.length === 0 && antiAffinity.length === 0 && !someoneRepels) return NOTHING;
  return {
    forbidden,
    repelled,
    // The first of a group that wants to be together may go anywhere.
    required: required.map(({ term, key, domains }) => ({
      key,
      domains: domains.size === 0 && matchesTerm(term, pod, pod) ? undefined : domains,
    })),
  };
}

function antiAffinityTerms(pod: Pod): readonly PodAffinityTerm[] {
  return pod.spec?.affinity?.podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [];
}

function matchesTerm(term: PodAffinityTerm, owner: Stored<Pod>, other: Stored<Pod>): boolean {
  const namespaces = term.namespaces ?? [];
  const isAllNamespaces = term.namespaceSelector !== undefined && Object.keys(term.namespaceSelector).length === 0;
  const named = namespaces.length > 0 ? namespaces : [owner.metadata.namespace ?? ""];
  return (
    (isAllNamespaces || named.includes(other.metadata.namespace ?? "")) && matchLabelSelector(term.labelSelector, other.metadata.labels)
  );
}

function addDomain(domains: Set<string>, node: NodeState["node"], key: string): void {
  const value = node.metadata.labels?.[key];
  if (value !== undefined) domains.add(`${key}=${value}`);
}

function isIn(domains: ReadonlySet<string>, node: NodeState["node"]): boolean {
  return [...domains].some((domain) => {
    const at = domain.indexOf("=");
    return node.metadata.labels?.[domain.slice(0, at)] === domain.slice(at + 1);
  });
}

/** In upstream's words why not; undefined when the node is fine. */
export function affinityProblem(view: AffinityView, { node }: NodeState): string | undefined {
  for (const { key, domains } of view.required) {
    const value = node.metadata.labels?.[key];
    if (value === undefined || (domains !== undefined && !domains.has(`${key}=${value}`))) return "node(s) didn't match pod affinity rules";
  }
  if (isIn(view.repelled, node)) return "node(s) didn't match pod anti-affinity rules";
  return isIn(view.forbidden, node) ? "node(s) didn't satisfy existing pods anti-affinity rules" : undefined;
}
