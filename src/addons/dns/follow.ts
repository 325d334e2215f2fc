// Keeps the index in step with the API server.
import type { Namespace, Service } from "kubernetes-types/core/v1";
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import type { Clock, Logger } from "#base";
import { type Client, createInformer } from "#client";
import { ENDPOINT_SLICES, NAMESPACES, parseKey, SERVICES, type Stored } from "#kube";
import type { ZoneIndex } from "./zone-index.ts";

const TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time";
const HEADLESS = "service.kubernetes.io/headless";

export interface FollowOptions {
  readonly client: Client;
  readonly index: ZoneIndex;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  /** Told how long a change of a headless Service's pods took to get here. */
  readonly onProgrammed: (seconds: number) => void;
}

export interface Following {
  readonly synced: Promise<void>;
  hasSynced(): boolean;
}

/** The informers keep identities only: the index has the rest, parsed. */
function identity({ metadata }: Stored): Stored["metadata"] {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = metadata;
  return { name, ...(namespace === undefined ? {} : { namespace }), uid, resourceVersion, creationTimestamp };
}

/** Starts at once and ends with `signal`. */
export function follow(options: FollowOptions): Following {
  const { client, index, clock, logger, signal, onProgrammed } = options;
  let synced = false;
  // The index takes what it needs before the informer keeps the object, so that nothing is held twice.
  const namespaces = createInformer(client, NAMESPACES, {
    logger,
    signal,
    transform(object: Stored<Namespace>): Stored<Namespace> {
      index.setNamespace(object);
      return { apiVersion: "v1", kind: "Namespace", metadata: identity(object) };
    },
  });
  const services = createInformer(client, SERVICES, {
    logger,
    signal,
    transform(object: Stored<Service>): Stored<Service> {
      index.setService(object);
      return { apiVersion: "v1", kind: "Service", metadata: identity(object) };
    },
  });
  const slices = createInformer(client, ENDPOINT_SLICES, {
    logger,
    signal,
    transform(object: Stored<EndpointSlice>): Stored<EndpointSlice> {
      index.setSlice(object);
      const changed = Date.parse(object.metadata.annotations?.[TRIGGER_TIME] ?? "");
      // What was there before we started says nothing about how fast we are.
      if (synced && !Number.isNaN(changed) && object.metadata.labels?.[HEADLESS] !== undefined)
        onProgrammed((clock.now() - changed) / 1000);
      return {
        apiVersion: "discovery.k8s.io/v1",
        kind: "EndpointSlice",
        metadata: identity(object),
        addressType: object.addressType,
        endpoints: [],
      };
    },
  });
  namespaces.subscribe((change) => {
    if (change.type === "delete") index.deleteNamespace(change.key);
  });
  services.subscribe((change) => {
    const { namespace = "", name } = parseKey(change.key);
    if (change.type === "delete") index.deleteService(namespace, name);
  });
  slices.subscribe((change) => {
    const { namespace = "", name } = parseKey(change.key);
    if (change.type === "delete") index.deleteSlice(namespace, name);
  });
  const all = Promise.all([namespaces.synced, services.synced, slices.synced]).then(() => {
    synced = true;
  });
  return { synced: all, hasSynced: () => synced };
}
