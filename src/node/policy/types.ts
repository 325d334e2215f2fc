import type { Logger } from "#base";
import type { Client } from "#client";
import type { Addr } from "#ip";
import type { NftSocket, PacketLog } from "#linux";
import type { PodFacts } from "#netpol";
import type { Drop, DropsLeftOut } from "./drop-types.ts";
import type { Established } from "./layout.ts";
import type { PolicyMetrics } from "./metrics.ts";

/** A pod of this node, from its addresses until it is disconnected. */
export interface LocalPod {
  readonly containerId: string;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly addrs: readonly Addr[];
}

/** A pod of this node with what is known of it; without `facts` it is isolated from everything. */
export interface Subject {
  readonly addrs: readonly Addr[];
  readonly facts: PodFacts | undefined;
}

export interface PoliciesOptions {
  readonly client: Client;
  readonly nodeName: string;
  /** In the node's network namespace; the caller's, who also closes it. */
  readonly nft: NftSocket;
  readonly logger: Logger;
  /** The packet log of the namespace; absent: `drops` throws. */
  readonly openLog?: PacketLog;
  /** What becomes of flows that a change no longer allows. Default: cut. */
  readonly established?: Established;
  /** How often it is looked whether the table is there, and whether it is as it was left. In milliseconds. */
  readonly lookEveryMs?: { readonly isThere: number; readonly isSame: number };
  readonly signal?: AbortSignal;
}

export interface Policies {
  /**
   * Takes over what an earlier process left, with the pods that are connected. To be called once. The kernel is changed when the API's
   * objects are known; until then it goes on enforcing what it has.
   */
  open(pods: readonly LocalPod[]): void;
  /**
   * Resolves when the kernel enforces for the pod's addresses all policies that were there when it was called. Throws "PolicyNotReady"
   * or what the kernel said: then the pod must not start.
   */
  add(pod: LocalPod): Promise<void>;
  /** To be called when its link is gone. Content with what is not there. Does not throw: what the kernel refuses is tried again. */
  del(containerId: string): void;
  /** Resolves when the kernel has what the API wants for the first time. */
  readonly ready: Promise<void>;
  readonly metrics: PolicyMetrics;
  /**
   * What policies refuse from now on, until `signal` aborts; of each chain at most ten packets a second, and then how many more. Throws
   * "NoPacketLog".
   */
  drops(signal: AbortSignal): AsyncIterable<Drop | DropsLeftOut>;
  /** What is in the kernel stays. */
  stop(): void;
}
