// Everything that the server serves: what `API_RESOURCES` says of each kind, with the kind's strategy.
import { apiVersionOf, type Resource } from "#kube";
import { API_RESOURCES, type ApiResource } from "#kube/schema";
import type { Served, Strategy, View } from "./registry/types.ts";
import { headBytesOf, ObjectVersion } from "./registry/version.ts";
import { SERVICE_CIDR_STRATEGY } from "./services/service-cidrs.ts";
import { formatResource, notFound } from "./status.ts";
import * as core from "./strategies/core.ts";
import { EVENT_VIEW } from "./strategies/event-view.ts";
import { POD_STRATEGY } from "./strategies/pod.ts";
import * as workloads from "./strategies/workloads.ts";

const STRATEGIES: Readonly<Record<string, Strategy>> = {
  pods: POD_STRATEGY,
  namespaces: core.NAMESPACE_STRATEGY,
  nodes: core.NODE_STRATEGY,
  endpoints: core.ENDPOINTS_STRATEGY,
  events: core.EVENT_STRATEGY,
  "events.events.k8s.io": core.EVENT_STRATEGY,
  limitranges: core.LIMIT_RANGE_STRATEGY,
  serviceaccounts: core.SERVICE_ACCOUNT_STRATEGY,
  replicationcontrollers: core.REPLICATION_CONTROLLER_STRATEGY,
  persistentvolumes: core.VOLUME_STRATEGY,
  persistentvolumeclaims: core.CLAIM_STRATEGY,
  "deployments.apps": workloads.DEPLOYMENT_STRATEGY,
  "replicasets.apps": workloads.REPLICA_SET_STRATEGY,
  "statefulsets.apps": workloads.STATEFUL_SET_STRATEGY,
  "daemonsets.apps": workloads.DAEMON_SET_STRATEGY,
  "jobs.batch": workloads.JOB_STRATEGY,
  "cronjobs.batch": workloads.CRON_JOB_STRATEGY,
  "ingresses.networking.k8s.io": workloads.INGRESS_STRATEGY,
  "ingressclasses.networking.k8s.io": workloads.GENERATION_STRATEGY,
  "servicecidrs.networking.k8s.io": SERVICE_CIDR_STRATEGY,
  "ipaddresses.networking.k8s.io": workloads.GENERATION_STRATEGY,
  "networkpolicies.networking.k8s.io": workloads.GENERATION_STRATEGY,
  "clusternetworkpolicies.policy.networking.k8s.io": workloads.CLUSTER_NETWORK_POLICY_STRATEGY,
  "endpointslices.discovery.k8s.io": workloads.GENERATION_STRATEGY,
  "leases.coordination.k8s.io": workloads.LEASE_STRATEGY,
};

/** Resources that are another one's objects in a form of their own. */
const VIEWS: Readonly<Record<string, { of: string; view: View }>> = {
  "events.events.k8s.io": { of: "events", view: EVENT_VIEW },
};

export class Catalog {
  readonly resources: readonly ApiResource[];
  readonly #served = new Map<string, Served>();

  /** `strategies` adds those that need more than their object (Services and their allocators). */
  constructor(strategies: Readonly<Record<string, Strategy>>) {
    this.resources = API_RESOURCES;
    for (const api of API_RESOURCES) {
      if (!isStored(api)) continue;
      const name = formatResource(api.resource);
      this.#served.set(name, createServed(api, strategies[name] ?? STRATEGIES[name] ?? workloads.PLAIN_STRATEGY));
    }
  }

  find(resource: Pick<Resource, "group" | "plural">): Served | undefined {
    return this.#served.get(formatResource(resource));
  }

  /** Throws NotFound for what is not served. */
  get(resource: Pick<Resource, "group" | "plural">): Served {
    const served = this.find(resource);
    if (served === undefined) throw notFound(resource, "");
    return served;
  }

  /** Questions are answered and not stored. */
  findQuestion(group: string, plural: string): ApiResource | undefined {
    return this.resources.find((api) => !isStored(api) && api.resource.group === group && api.resource.plural === plural);
  }

  groupVersions(): { group: string; version: string }[] {
    const all = new Map(
      this.resources.map(({ resource }) => [apiVersionOf(resource), { group: resource.group, version: resource.version }]),
    );
    return [...all.values()];
  }
}

function isStored(api: ApiResource): boolean {
  return api.verbs.includes("list");
}

function createServed(api: ApiResource, strategy: Strategy): Served {
  const { resource } = api;
  const name = formatResource(resource);
  const other = VIEWS[name];
  const shown = new WeakMap<ObjectVersion, ObjectVersion>();
  const present = (version: ObjectVersion): ObjectVersion => {
    if (other === undefined) return version;
    const known = shown.get(version) ?? ObjectVersion.of(other.view.fromStored(version.object));
    shown.set(version, known);
    return known;
  };
  return {
    resource,
    table: other?.of ?? name,
    strategy,
    verbs: api.verbs,
    subresources: api.subresources,
    present,
    view: other?.view,
    headBytes: headBytesOf(resource.kind, apiVersionOf(resource)),
  };
}
