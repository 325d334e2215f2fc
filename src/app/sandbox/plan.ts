// What a sandboxed cluster looks like, from its options alone: which namespaces, addresses and processes there are.
import { type Family, formatAddr, formatPrefix, nthAddr, parsePrefix } from "#ip";

export type IpFamily = "ipv4" | "ipv6" | "dual";
export type Overlay = "vxlan" | "host-gw";
type ProxyMode = "nftables" | "iptables" | "ipvs";

export interface ClusterOptions {
  readonly name: string;
  readonly nodes: number;
  readonly ipFamily: IpFamily;
  readonly overlay: Overlay;
  /** How nodes make Services; default: nftables. */
  readonly proxyMode?: ProxyMode;
  /** What becomes of flows that a policy no longer allows; default: cut. */
  readonly policyEstablished?: "cut" | "keep";
}

/** The blocks of one address family, all of them private or for documentation (RFC 1918, RFC 4193, RFC 5737, RFC 3849). */
interface Blocks {
  readonly family: Family;
  readonly underlay: string;
  readonly outside: string;
  readonly pods: string;
  readonly nodeMaskBits: number;
  readonly services: string;
}

const BLOCKS: Readonly<Record<Family, Blocks>> = {
  4: {
    family: 4,
    underlay: "172.18.0.0/16",
    outside: "203.0.113.0/24",
    pods: "10.244.0.0/16",
    nodeMaskBits: 24,
    services: "10.96.0.0/16",
  },
  6: {
    family: 6,
    underlay: "fd00:18::/64",
    outside: "2001:db8:113::/64",
    pods: "fd00:10:244::/56",
    nodeMaskBits: 64,
    services: "fd00:10:96::/112",
  },
};

/** The host number of node 1 on the underlay is one more than this; the router has number 1. */
const NODE_OFFSET = 10;
/** As many as a /24 of each Pod CIDR allows: 10.244.0.0/16 has 256 of them. */
export const MAX_NODES = 200;

export interface NodePlan {
  readonly name: string;
  /** With the underlay's prefix length: `172.18.0.11/16`. */
  readonly prefixes: readonly string[];
  readonly addresses: readonly string[];
}

export interface ClusterPlan {
  readonly options: ClusterOptions;
  readonly families: readonly Family[];
  /** The router's addresses on the underlay: where the API server listens, and every node's default route. */
  readonly router: { readonly prefixes: readonly string[]; readonly addresses: readonly string[] };
  /** The internet's side: the router's and the client's addresses on their link. */
  readonly outside: { readonly router: readonly string[]; readonly client: readonly string[]; readonly gateways: readonly string[] };
  readonly nodes: readonly NodePlan[];
  readonly podCidrs: readonly string[];
  readonly nodeMaskBits: readonly number[];
  readonly serviceCidrs: readonly string[];
  readonly dnsAddresses: readonly string[];
  /** The ClusterIPs of the `kubernetes` Service: the first address of each Service CIDR. */
  readonly apiServiceAddresses: readonly string[];
  readonly clusterDomain: string;
}

export function planCluster(options: ClusterOptions): ClusterPlan {
  const families: Family[] = options.ipFamily === "dual" ? [4, 6] : [options.ipFamily === "ipv4" ? 4 : 6];
  const blocks = families.map((family) => BLOCKS[family]);
  const host = (block: string, n: number): string => formatAddr(nthAddr(parsePrefix(block), n));
  const prefix = (block: string, n: number): string =>
    formatPrefix({ addr: nthAddr(parsePrefix(block), n), bits: parsePrefix(block).bits });
  return {
    options,
    families,
    router: { prefixes: blocks.map((b) => prefix(b.underlay, 1)), addresses: blocks.map((b) => host(b.underlay, 1)) },
    outside: {
      router: blocks.map((b) => prefix(b.outside, 1)),
      client: blocks.map((b) => prefix(b.outside, 2)),
      gateways: blocks.map((b) => host(b.outside, 1)),
    },
    nodes: Array.from({ length: options.nodes }, (_, i) => ({
      name: `node-${i + 1}`,
      prefixes: blocks.map((b) => prefix(b.underlay, NODE_OFFSET + i + 1)),
      addresses: blocks.map((b) => host(b.underlay, NODE_OFFSET + i + 1)),
    })),
    podCidrs: blocks.map((b) => b.pods),
    nodeMaskBits: blocks.map((b) => b.nodeMaskBits),
    serviceCidrs: blocks.map((b) => b.services),
    dnsAddresses: blocks.map((b) => host(b.services, 10)),
    apiServiceAddresses: blocks.map((b) => host(b.services, 1)),
    clusterDomain: "cluster.local",
  };
}
