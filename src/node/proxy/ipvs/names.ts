// What this mode calls its own in the kernel.
import type { TableId } from "#nft";

export const TABLE: TableId = { family: "inet", name: "fairlead-ipvs" };

/** A dummy link. Service addresses are local because of routes to it: packets to them reach IPVS, which sits behind the input hook. */
export const LINK = "fairlead-ipvs";

/** RTPROT of those routes. */
export const ROUTE_PROTOCOL = 202;

/** RT_TABLE_LOCAL */
export const LOCAL_TABLE = 255;

/** Behind the kernel's own routes of an address that the node has itself, which so are never replaced or deleted. */
export const ROUTE_METRIC = 1024;

/** What the inside sends to a frontend with a list for the inside carries such a mark, up to IPVS and no farther. */
export const MARK_BASE = 0xfa10_0000;
export const MARK_MASK = 0xfff0_0000;

export function isOurMark(mark: number): boolean {
  return (mark & MARK_MASK) >>> 0 === MARK_BASE && mark !== MARK_BASE;
}
