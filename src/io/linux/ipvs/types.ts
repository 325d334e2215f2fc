// The IP Virtual Server as data: virtual services, and the destinations that each spreads connections over (ipvsadm(8)).
import type { Addr, Family } from "#ip";

/** What makes a service: an address, protocol and port, or a mark that packets carry. */
export type IpvsServiceKey =
  | { readonly addr: Addr; readonly protocol: number; readonly port: number }
  | { readonly family: Family; readonly fwmark: number };

export interface IpvsServiceSettings {
  /** "rr", "wrr", "lc", …: one that this kernel has, else ENOENT. */
  readonly scheduler: string;
  /** Clients of one network of `bits` bits come back to the same destination, until so long after their last connection has ended. */
  readonly persistence?: { readonly timeoutSeconds: number; readonly bits: number };
  /** Every UDP packet is a connection of its own. */
  readonly onePacket?: boolean;
}

export type IpvsService = IpvsServiceKey & IpvsServiceSettings;

export interface IpvsDestinationKey {
  readonly addr: Addr;
  /** 0, with services of a mark: the port that the client used. */
  readonly port: number;
}

/** masquerade: the destination's address is written into packets, and the service's into the answers. */
export type IpvsForwarding = "masquerade" | "local" | "tunnel" | "route" | "bypass";

export interface IpvsDestination extends IpvsDestinationKey {
  /** 0: no new connections; those that are there go on. */
  readonly weight: number;
  /** Default "masquerade". */
  readonly forwarding?: IpvsForwarding;
  /** No new connections above `upper` until there are fewer than `lower`; 0 or absent: without limit. */
  readonly upperThreshold?: number;
  readonly lowerThreshold?: number;
}

/** Counters since the object was made. */
export interface IpvsStats {
  readonly connections: number;
  readonly inPackets: number;
  readonly outPackets: number;
  readonly inBytes: number;
  readonly outBytes: number;
}

export type IpvsServiceState = IpvsService & { readonly stats: IpvsStats };

export interface IpvsDestinationState extends IpvsDestination {
  /** Established ones. */
  readonly activeConnections: number;
  /** All others that are remembered: being opened, closing, and everything of UDP. */
  readonly inactiveConnections: number;
  readonly persistentConnections: number;
  readonly stats: IpvsStats;
}

export type IpvsChange =
  /** EEXIST: there is such a service. ENOENT: no such scheduler. */
  | { readonly op: "add service"; readonly service: IpvsService }
  /** Replaces the settings; destinations and connections stay. ESRCH: there is none. */
  | { readonly op: "change service"; readonly service: IpvsService }
  /** With all its destinations. One that is absent is no error. */
  | { readonly op: "delete service"; readonly service: IpvsServiceKey }
  /** ESRCH: there is no such service. EEXIST: it has this destination. */
  | { readonly op: "add destination"; readonly service: IpvsServiceKey; readonly destination: IpvsDestination }
  /** ESRCH: there is no such service. ENOENT: it has no such destination. */
  | { readonly op: "change destination"; readonly service: IpvsServiceKey; readonly destination: IpvsDestination }
  /** One that is absent is no error. */
  | { readonly op: "delete destination"; readonly service: IpvsServiceKey; readonly destination: IpvsDestinationKey };

export interface IpvsTimeouts {
  readonly tcpSeconds: number;
  readonly tcpFinSeconds: number;
  readonly udpSeconds: number;
}

/** A connection that IPVS remembers, or, with the client's port 0, a client that is to come back (persistence). */
export interface IpvsConnection {
  readonly protocol: number;
  readonly client: Addr;
  readonly clientPort: number;
  /** What the client used; for a client of a service with a mark, the mark stands in the address. */
  readonly service: { readonly addr: Addr; readonly port: number };
  readonly destination: IpvsDestinationKey;
  /** As the kernel names it: "ESTABLISHED", "UDP", "NONE", … */
  readonly state: string;
  readonly expiresSeconds: number;
}

/** IPVS of one network namespace. Calls are synchronous. Errors are `KernelError`. */
export interface IpvsSocket {
  info(): { readonly version: string; readonly connectionTableSize: number };
  services(): IpvsServiceState[];
  /** Empty when there is no such service. */
  destinations(service: IpvsServiceKey): IpvsDestinationState[];
  /** Does all that can be done, in order and in few system calls, then throws the first refusal (`facts.refused`: how many). */
  apply(changes: readonly IpvsChange[]): void;
  /** Deletes all services of the namespace, whoever made them. */
  flush(): void;
  /** All connections, from /proc/net/ip_vs_conn: netlink does not tell them. Slow where there are many. */
  connections(): IpvsConnection[];
  timeouts(): IpvsTimeouts;
  setTimeouts(timeouts: Partial<IpvsTimeouts>): void;
  close(): void;
}
