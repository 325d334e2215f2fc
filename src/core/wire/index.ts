/** Packets and DNS messages: bytes to plain data and back. */
export { decodeDns } from "./dns-decode.ts";
export { encodeDns } from "./dns-encode.ts";
export { decodeDnsName, encodeDnsLabel, encodeDnsName, type NameAt, splitDnsName } from "./dns-names.ts";
export {
  DNS_CLASS_IN,
  DNS_RCODE,
  DNS_TYPE,
  type DnsData,
  DnsFormatError,
  type DnsMessage,
  type DnsQuestion,
  type DnsRecord,
  dnsMessage,
  dnsRcodeName,
  dnsRecordType,
  dnsTypeName,
  type Edns,
  type EdnsOption,
  type SoaData,
} from "./dns-types.ts";
export { type DecodeOptions, decodeFrame, decodePacket } from "./packet-decode.ts";
export { type EchoFields, encodeEcho, encodeFrame, encodeUdp, internetChecksum, type UdpFields } from "./packet-encode.ts";
export { formatFrame, formatPacket } from "./packet-format.ts";
export * from "./packet-types.ts";
