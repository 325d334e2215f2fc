import type { Logger } from "#base";
import type { Addr, Prefix } from "#ip";

/** Who holds an address: an attachment in the words of CNI spec 1.1 §2 (container id and interface name). */
export interface Owner {
  readonly containerId: string;
  readonly ifName: string;
}

export interface Lease {
  readonly addr: Addr;
  readonly owner: Owner;
}

/** A Pod CIDR and what of it pods may have: all but the network address, the gateway (its first address), and IPv4's broadcast address. */
export interface Range {
  readonly prefix: Prefix;
  readonly gateway: Addr;
  readonly first: Addr;
  readonly last: Addr;
}

/** What is held, and from where the search for the next address goes on. Keys are formatted addresses and prefixes. */
export interface IpamState {
  readonly ranges: readonly Range[];
  readonly leases: Map<string, Lease>;
  readonly cursors: Map<string, Addr>;
}

/**
 * One step of a decision. Each is atomic on disk, and the state is sound after any number of the steps of a plan: that is what
 * makes a crash in the middle harmless.
 */
export type IpamStep =
  /** The search for the next address of `range` goes on after `addr`. */
  | { readonly step: "advance"; readonly range: Range; readonly addr: Addr }
  | { readonly step: "hold"; readonly lease: Lease }
  | { readonly step: "release"; readonly addr: Addr };

export interface IpamOptions {
  /** Where the state is; created when absent. */
  readonly dir: string;
  /** One per family, such as 10.244.1.0/24 and fd00:10:244:1::/64. */
  readonly podCidrs: readonly Prefix[];
  readonly logger: Logger;
}

/** All calls are synchronous, durable when they return, and complete or undone by the next call for the same owner. */
export interface Ipam {
  readonly ranges: readonly Range[];
  /** One address per range, in their order. The same owner gets the same addresses again. Throws "AddressesExhausted". */
  add(owner: Owner): readonly Addr[];
  /** What `add` gave to this owner so far. */
  get(owner: Owner): readonly Addr[];
  /** Gives back everything the owner holds; content when that is nothing. Returns what was given back. */
  del(owner: Owner): readonly Addr[];
  /** Gives back what is held by an owner that is not in `valid`. Returns those leases. */
  gc(valid: readonly Owner[]): readonly Lease[];
  list(): readonly Lease[];
}
