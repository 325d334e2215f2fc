// Which Services a pod is behind, for the two controllers that write their endpoints.
import type { Pod, Service } from "kubernetes-types/core/v1";
import type { Change, Informer } from "#client";
import { keyOf, matchLabels, type ParsedLabelSelector, type Stored, selectorOfMap } from "#kube";
import { changesEndpoint } from "./endpointslice/endpoint.ts";

const parsed = new WeakMap<Service, ParsedLabelSelector>();

function selects(service: Service, labels: Readonly<Record<string, string>> | undefined): boolean {
  let selector = parsed.get(service);
  if (selector === undefined) {
    selector = selectorOfMap(service.spec?.selector);
    parsed.set(service, selector);
  }
  // A Service without a selector selects nothing, unlike a label selector.
  return selector.length > 0 && matchLabels(selector, labels);
}

export function selectedPods(service: Stored<Service>, pods: Informer<Pod>): Stored<Pod>[] {
  return pods.list(service.metadata.namespace).filter((pod) => selects(service, pod.metadata.labels));
}

/** The Services whose endpoints change with this pod; those that it has left, too. */
export function affectedServices(change: Change<Pod>, services: Informer<Service>): string[] {
  const old = change.type === "set" ? change.old : undefined;
  if (old !== undefined && !changesEndpoint(old, change.object)) return [];
  return services
    .list(change.object.metadata.namespace)
    .filter((service) => selects(service, change.object.metadata.labels) || (old !== undefined && selects(service, old.metadata.labels)))
    .map(keyOf);
}
