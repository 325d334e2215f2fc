// IPVS messages: net/netfilter/ipvs/ip_vs_ctl.c, ip_vs_genl_parse_service and _dest.
import { addrBits, type Family } from "#ip";
import { type MessageWriter, putGenericHeader } from "../netlink/index.ts";
import * as n from "../uapi/ip_vs.ts";
import { AF_INET, AF_INET6 } from "../uapi/socket.ts";
import type { IpvsChange, IpvsDestination, IpvsDestinationKey, IpvsForwarding, IpvsService, IpvsServiceKey } from "./types.ts";

export const FORWARDING: Readonly<Record<IpvsForwarding, number>> = {
  masquerade: n.IP_VS_CONN_F_MASQ,
  local: n.IP_VS_CONN_F_LOCALNODE,
  tunnel: n.IP_VS_CONN_F_TUNNEL,
  route: n.IP_VS_CONN_F_DROUTE,
  bypass: n.IP_VS_CONN_F_BYPASS,
};

const COMMANDS: Readonly<Record<IpvsChange["op"], number>> = {
  "add service": n.IPVS_CMD_NEW_SERVICE,
  "change service": n.IPVS_CMD_SET_SERVICE,
  "delete service": n.IPVS_CMD_DEL_SERVICE,
  "add destination": n.IPVS_CMD_NEW_DEST,
  "change destination": n.IPVS_CMD_SET_DEST,
  "delete destination": n.IPVS_CMD_DEL_DEST,
};

export function beginIpvs(w: MessageWriter, familyId: number, { cmd, flags = 0 }: { cmd: number; flags?: number }): void {
  w.begin(familyId, flags);
  putGenericHeader(w, cmd, n.IPVS_GENL_VERSION);
}

export function writeServiceKey(w: MessageWriter, key: IpvsServiceKey): void {
  const at = w.openNest(n.IPVS_CMD_ATTR_SERVICE);
  keyAttrs(w, key);
  w.closeNest(at);
}

/** Acknowledgements are not asked for: silence means done. */
export function writeChange(w: MessageWriter, familyId: number, change: IpvsChange): void {
  beginIpvs(w, familyId, { cmd: COMMANDS[change.op] });
  const at = w.openNest(n.IPVS_CMD_ATTR_SERVICE);
  keyAttrs(w, change.service);
  if (change.op === "add service" || change.op === "change service") settingAttrs(w, change.service);
  w.closeNest(at);
  if ("destination" in change) writeDestination(w, change.destination);
  w.end();
}

export function familyOf(key: IpvsServiceKey): Family {
  return "fwmark" in key ? key.family : key.addr.family;
}

function keyAttrs(w: MessageWriter, key: IpvsServiceKey): void {
  w.u16(n.IPVS_SVC_ATTR_AF, familyOf(key) === 4 ? AF_INET : AF_INET6);
  if ("fwmark" in key) {
    w.u32(n.IPVS_SVC_ATTR_FWMARK, key.fwmark);
    return;
  }
  w.u16(n.IPVS_SVC_ATTR_PROTOCOL, key.protocol).attrBytes(n.IPVS_SVC_ATTR_ADDR, key.addr.bytes).u16be(n.IPVS_SVC_ATTR_PORT, key.port);
}

function settingAttrs(w: MessageWriter, { scheduler, persistence, onePacket, ...key }: IpvsService): void {
  const family = familyOf(key);
  const bits = persistence?.bits ?? addrBits(family);
  const flags = (persistence === undefined ? 0 : n.IP_VS_SVC_F_PERSISTENT) | (onePacket === true ? n.IP_VS_SVC_F_ONEPACKET : 0);
  w.string(n.IPVS_SVC_ATTR_SCHED_NAME, scheduler);
  // struct ip_vs_flags: the bits, and which of them are meant.
  const of = new Uint8Array(8);
  of[0] = flags;
  of[4] = n.IP_VS_SVC_F_PERSISTENT | n.IP_VS_SVC_F_ONEPACKET;
  w.attrBytes(n.IPVS_SVC_ATTR_FLAGS, of).u32(n.IPVS_SVC_ATTR_TIMEOUT, persistence?.timeoutSeconds ?? 0);
  // IPv4 has a mask in network order here, IPv6 a number of bits.
  if (family === 4) w.u32be(n.IPVS_SVC_ATTR_NETMASK, bits === 0 ? 0 : (0xffff_ffff << (32 - bits)) >>> 0);
  else w.u32(n.IPVS_SVC_ATTR_NETMASK, bits);
}

function writeDestination(w: MessageWriter, destination: IpvsDestination | IpvsDestinationKey): void {
  const at = w.openNest(n.IPVS_CMD_ATTR_DEST);
  const { addr, port } = destination;
  w.u16(n.IPVS_DEST_ATTR_ADDR_FAMILY, addr.family === 4 ? AF_INET : AF_INET6);
  w.attrBytes(n.IPVS_DEST_ATTR_ADDR, addr.bytes).u16be(n.IPVS_DEST_ATTR_PORT, port);
  if ("weight" in destination) {
    w.u32(n.IPVS_DEST_ATTR_FWD_METHOD, FORWARDING[destination.forwarding ?? "masquerade"]);
    w.u32(n.IPVS_DEST_ATTR_WEIGHT, destination.weight);
    w.u32(n.IPVS_DEST_ATTR_U_THRESH, destination.upperThreshold ?? 0).u32(n.IPVS_DEST_ATTR_L_THRESH, destination.lowerThreshold ?? 0);
  }
  w.closeNest(at);
}
