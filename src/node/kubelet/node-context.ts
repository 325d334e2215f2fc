// What all pods of a node have in common: handed to each pod's worker.
import type { Service } from "kubernetes-types/core/v1";
import type { Clock, Logger } from "#base";
import type { Client, EventRecorder, Informer } from "#client";
import type { DnsConfig, ImageService, RuntimeService } from "#runtime";
import type { ReferencedObjects } from "./objects.ts";
import type { StatusWriter } from "./status-writer.ts";

export interface NodeSettings {
  readonly nodeName: string;
  readonly hostIps: readonly string[];
  readonly clusterDns: readonly string[];
  readonly clusterDomain: string;
  /** The node's own resolver configuration. */
  readonly hostDns: DnsConfig;
  /** Where pods' logs and volumes are kept. */
  readonly nodeRoot: string;
  readonly allocatable: Readonly<Record<string, string>>;
}

export interface NodeContext {
  readonly settings: NodeSettings;
  readonly client: Client;
  readonly runtime: RuntimeService & ImageService;
  readonly services: Informer<Service>;
  readonly objects: ReferencedObjects;
  readonly statuses: StatusWriter;
  readonly events: EventRecorder;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Whether pods can be connected yet. */
  readonly networkReady: () => boolean;
  /** Asks for another sync of the pod, soon. */
  readonly requeue: (uid: string) => void;
}
