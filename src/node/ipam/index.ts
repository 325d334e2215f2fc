/** Which pod has which address of the node's Pod CIDRs: a pure core, and a directory with one file per address. */
export { gatewayOf } from "./range.ts";
export { openIpam } from "./store.ts";
export type { Ipam, IpamOptions, Lease, Owner, Range } from "./types.ts";
