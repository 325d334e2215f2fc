import type { Logger } from "#base";
import type { Addr, Mac, Prefix } from "#ip";
import type { Ipam, Owner } from "#ipam";
import type { Fdb, LinkAddr, Neigh, NetNs, NewLink, Route, RouteSocket } from "#linux";

/** What the runtime wants connected: CNI spec 1.1 §2 CNI_CONTAINERID, CNI_NETNS (opened by the caller, who closes it), CNI_IFNAME. */
export interface Attachment extends Owner {
  readonly netns: NetNs;
}

/** The success result of CNI spec 1.1 §5, as JSON has it. */
export interface CniResult {
  readonly cniVersion: "1.1.0";
  readonly interfaces: readonly CniInterface[];
  readonly ips: readonly CniIp[];
  readonly routes: readonly CniRoute[];
  readonly dns: { readonly nameservers?: readonly string[]; readonly domain?: string; readonly search?: readonly string[] };
}

export interface CniInterface {
  readonly name: string;
  readonly mac?: string;
  readonly mtu: number;
  /** The pod's namespace; absent for links of the node. */
  readonly sandbox?: string;
}

export interface CniIp {
  /** In CIDR notation. */
  readonly address: string;
  readonly gateway: string;
  /** Index into `interfaces`. */
  readonly interface: number;
}

export interface CniRoute {
  readonly dst: string;
  readonly gw: string;
}

/** What the bridge of a node should be: plain data. */
export interface BridgePlan {
  readonly link: NewLink & { readonly mac: Mac };
  readonly addrs: readonly LinkAddr[];
  /** In the node's namespace, in order. */
  readonly sysctls: readonly Sysctl[];
}

export interface Sysctl {
  readonly name: string;
  readonly value: number;
  /** Whether it may be missing: kernels come without IPv6 and without br_netfilter. */
  readonly optional?: boolean;
}

/** What one pod's link should be, at both of its ends: plain data. */
export interface PodPlan {
  readonly owner: Owner;
  readonly hostLink: string;
  readonly mac: Mac;
  readonly mtu: number;
  /** In the node's namespace. */
  readonly node: { readonly neighs: readonly Neigh[]; readonly fdb: Fdb; readonly sysctls: readonly Sysctl[] };
  /** In the pod's namespace. */
  readonly pod: {
    readonly addrs: readonly LinkAddr[];
    readonly neighs: readonly Neigh[];
    readonly routes: readonly Route[];
    readonly sysctls: readonly Sysctl[];
  };
}

export interface PodNetworkOptions {
  readonly node: { readonly ns: NetNs; readonly route: RouteSocket };
  readonly openRoute: (ns: NetNs) => RouteSocket;
  /** Its ranges are the node's Pod CIDRs. */
  readonly ipam: Ipam;
  /** The MTU that pods get from now on; asked at every add, since the uplink's may change. */
  readonly mtu: () => number;
  readonly logger: Logger;
}

/** The verbs of CNI spec 1.1 §2, synchronous: an add takes about a millisecond. */
export interface PodNetwork {
  /** Connects a pod. What is there already from an earlier, perhaps interrupted add of the same attachment is kept or completed. */
  add(attachment: Attachment): CniResult;
  /** Content with whatever is not there (any more); needs no namespace. */
  del(owner: Owner): void;
  /** Throws "PodLinkBroken" with everything that is not as `add` made it. */
  check(attachment: Attachment): void;
  /** Removes the links and addresses of all attachments that are not in `valid`. */
  gc(valid: readonly Owner[]): void;
  /** The addresses that an attachment holds. */
  addrs(owner: Owner): readonly Addr[];
  /** Stops watching over the bridge; everything in the kernel stays. */
  stop(): void;
}

/** A Pod CIDR and the node's address in it. */
export interface PodRange {
  readonly prefix: Prefix;
  readonly gateway: Addr;
}
