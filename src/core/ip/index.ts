/** Addresses, prefixes and MACs as values: parse at the edge, compute here, format at the other edge. */
export {
  type Addr,
  type AddrPort,
  addrEquals,
  addrFromBigInt,
  addrFromBytes,
  addrPlus,
  addrToBigInt,
  compareAddrs,
  FAMILIES,
  type Family,
  formatAddr,
  formatAddrPort,
  parseAddr,
  tryParseAddr,
} from "./addr.ts";
export { formatMac, type Mac, macOfAddr, parseMac } from "./mac.ts";
export {
  addrBits,
  formatPrefix,
  hostPrefix,
  maskPrefix,
  nthAddr,
  nthSubnet,
  type Prefix,
  parsePrefix,
  prefixContains,
  prefixEquals,
  prefixOverlaps,
  prefixSize,
  tryParsePrefix,
} from "./prefix.ts";
