// What IPVS says of services and destinations: net/netfilter/ipvs/ip_vs_ctl.c, ip_vs_genl_fill_service and _dest.
import { type Addr, addrBits, addrFromBytes, type Family } from "#ip";
import type { AttrReader, NetlinkMessage } from "../netlink/index.ts";
import { GENL_HDRLEN } from "../uapi/genetlink.ts";
import * as n from "../uapi/ip_vs.ts";
import { AF_INET6 } from "../uapi/socket.ts";
import { FORWARDING } from "./encode.ts";
import type { IpvsDestinationState, IpvsForwarding, IpvsServiceKey, IpvsServiceState, IpvsStats } from "./types.ts";

const NO_STATS: IpvsStats = { connections: 0, inPackets: 0, outPackets: 0, inBytes: 0, outBytes: 0 };

export function readService(message: NetlinkMessage): IpvsServiceState | undefined {
  const attrs = message.attrs(GENL_HDRLEN);
  while (attrs.next()) if (attrs.type === n.IPVS_CMD_ATTR_SERVICE) return serviceOf(attrs.nested());
  return undefined;
}

function serviceOf(attrs: AttrReader): IpvsServiceState {
  const raw = { family: 4 as Family, protocol: 0, port: 0, fwmark: 0, timeoutSeconds: 0, flags: 0, mask: 0xffff_ffff };
  let bytes = new Uint8Array(16);
  let scheduler = "";
  let stats = NO_STATS;
  while (attrs.next()) {
    if (attrs.type === n.IPVS_SVC_ATTR_AF) raw.family = attrs.u16() === AF_INET6 ? 6 : 4;
    else if (attrs.type === n.IPVS_SVC_ATTR_PROTOCOL) raw.protocol = attrs.u16();
    else if (attrs.type === n.IPVS_SVC_ATTR_ADDR) bytes = Uint8Array.from(attrs.bytes());
    else if (attrs.type === n.IPVS_SVC_ATTR_PORT) raw.port = attrs.u16be();
    else if (attrs.type === n.IPVS_SVC_ATTR_FWMARK) raw.fwmark = attrs.u32();
    else if (attrs.type === n.IPVS_SVC_ATTR_SCHED_NAME) scheduler = attrs.string();
    else if (attrs.type === n.IPVS_SVC_ATTR_FLAGS) raw.flags = attrs.u32();
    else if (attrs.type === n.IPVS_SVC_ATTR_TIMEOUT) raw.timeoutSeconds = attrs.u32();
    else if (attrs.type === n.IPVS_SVC_ATTR_NETMASK) raw.mask = raw.family === 4 ? attrs.u32be() : attrs.u32();
    else if (attrs.type === n.IPVS_SVC_ATTR_STATS64) stats = statsOf(attrs.nested());
  }
  const { family, fwmark, protocol, port, flags, timeoutSeconds } = raw;
  const key: IpvsServiceKey = fwmark === 0 ? { addr: addrOf(bytes, family), protocol, port } : { family, fwmark };
  const bits = family === 4 ? 32 - Math.log2(2 ** 32 - raw.mask) : raw.mask;
  return {
    ...key,
    scheduler,
    ...((flags & n.IP_VS_SVC_F_PERSISTENT) !== 0 && { persistence: { timeoutSeconds, bits } }),
    ...((flags & n.IP_VS_SVC_F_ONEPACKET) !== 0 && { onePacket: true }),
    stats,
  };
}

/** Addresses come as 16 bytes, of which IPv4 has the first four. */
function addrOf(bytes: Uint8Array, family: Family): Addr {
  return addrFromBytes(bytes.slice(0, addrBits(family) / 8));
}

export function readDestination(message: NetlinkMessage, serviceFamily: Family): IpvsDestinationState | undefined {
  const attrs = message.attrs(GENL_HDRLEN);
  while (attrs.next()) if (attrs.type === n.IPVS_CMD_ATTR_DEST) return destinationOf(attrs.nested(), serviceFamily);
  return undefined;
}

const FORWARDING_NAMES: ReadonlyMap<number, IpvsForwarding> = new Map(
  Object.entries(FORWARDING).map(([name, number]) => [number, name as IpvsForwarding]),
);

function destinationOf(attrs: AttrReader, serviceFamily: Family): IpvsDestinationState {
  let family = serviceFamily;
  let bytes = new Uint8Array(16);
  let stats = NO_STATS;
  const raw = { port: 0, method: 0, weight: 0, upper: 0, lower: 0 };
  const connections = { activeConnections: 0, inactiveConnections: 0, persistentConnections: 0 };
  while (attrs.next()) {
    if (attrs.type === n.IPVS_DEST_ATTR_ADDR) bytes = Uint8Array.from(attrs.bytes());
    else if (attrs.type === n.IPVS_DEST_ATTR_ADDR_FAMILY) family = attrs.u16() === AF_INET6 ? 6 : 4;
    else if (attrs.type === n.IPVS_DEST_ATTR_PORT) raw.port = attrs.u16be();
    else if (attrs.type === n.IPVS_DEST_ATTR_FWD_METHOD) raw.method = attrs.u32() & n.IP_VS_CONN_F_FWD_MASK;
    else if (attrs.type === n.IPVS_DEST_ATTR_WEIGHT) raw.weight = attrs.u32();
    else if (attrs.type === n.IPVS_DEST_ATTR_U_THRESH) raw.upper = attrs.u32();
    else if (attrs.type === n.IPVS_DEST_ATTR_L_THRESH) raw.lower = attrs.u32();
    else if (attrs.type === n.IPVS_DEST_ATTR_ACTIVE_CONNS) connections.activeConnections = attrs.u32();
    else if (attrs.type === n.IPVS_DEST_ATTR_INACT_CONNS) connections.inactiveConnections = attrs.u32();
    else if (attrs.type === n.IPVS_DEST_ATTR_PERSIST_CONNS) connections.persistentConnections = attrs.u32();
    else if (attrs.type === n.IPVS_DEST_ATTR_STATS64) stats = statsOf(attrs.nested());
  }
  return {
    addr: addrOf(bytes, family),
    port: raw.port,
    weight: raw.weight,
    forwarding: FORWARDING_NAMES.get(raw.method) ?? "masquerade",
    upperThreshold: raw.upper,
    lowerThreshold: raw.lower,
    ...connections,
    stats,
  };
}

function statsOf(attrs: AttrReader): IpvsStats {
  const stats = { ...NO_STATS } as { -readonly [K in keyof IpvsStats]: number };
  while (attrs.next()) {
    if (attrs.type === n.IPVS_STATS_ATTR_CONNS) stats.connections = Number(attrs.u64());
    else if (attrs.type === n.IPVS_STATS_ATTR_INPKTS) stats.inPackets = Number(attrs.u64());
    else if (attrs.type === n.IPVS_STATS_ATTR_OUTPKTS) stats.outPackets = Number(attrs.u64());
    else if (attrs.type === n.IPVS_STATS_ATTR_INBYTES) stats.inBytes = Number(attrs.u64());
    else if (attrs.type === n.IPVS_STATS_ATTR_OUTBYTES) stats.outBytes = Number(attrs.u64());
  }
  return stats;
}
