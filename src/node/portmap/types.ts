import type { Logger } from "#base";
import type { Addr, Family } from "#ip";
import type { ConntrackSocket, NetNs, NftSocket, RouteSocket } from "#linux";
import type { PortmapMetrics } from "./metrics.ts";

/** As CRI has it, and CNI's capability `portMappings`. */
export interface PortMapping {
  readonly protocol: "TCP" | "UDP" | "SCTP";
  readonly containerPort: number;
  /** 0: none. */
  readonly hostPort: number;
  /** Absent or empty: every address of the node; 0.0.0.0 or ::, every one of that family. */
  readonly hostIp?: string;
}

/** What a pod asks for. */
export interface PodPorts {
  readonly containerId: string;
  /** `namespace/name`, for comments and messages. */
  readonly pod: string;
  /** At most one per family is used: the first. */
  readonly addrs: readonly Addr[];
  readonly mappings: readonly PortMapping[];
}

/** A port of the node, in one family, and where it leads. */
export interface HostPort {
  readonly family: Family;
  /** Undefined: every address of the node. */
  readonly hostAddr: Addr | undefined;
  /** IPPROTO_*. */
  readonly protocol: number;
  readonly port: number;
  readonly to: Addr;
  readonly toPort: number;
}

export interface HostPortsOptions {
  /** The node's. */
  readonly ns: NetNs;
  readonly route: RouteSocket;
  readonly nft: NftSocket;
  readonly conntrack: ConntrackSocket;
  /** The link that leads to all pods of the node. */
  readonly podLink: string;
  readonly logger: Logger;
}

export interface HostPorts {
  /**
   * Takes over what an earlier process left: what these pods (oldest first) ask for stays or comes, everything else goes. To be called
   * once, before all else. Does not throw: of what cannot be opened, or is asked for twice, a log line tells.
   */
  open(pods: readonly PodPorts[]): void;
  /** Opens the ports of a pod, in one transaction. Again with the same is nothing. Throws InputError for a hostIP that is no address. */
  add(pod: PodPorts): void;
  /** Closes them. Content with what is not there. */
  del(containerId: string): void;
  readonly metrics: PortmapMetrics;
  /** The ports stay open. */
  stop(): void;
}
