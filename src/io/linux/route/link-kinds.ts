// What differs between kinds of links: IFLA_INFO_DATA when one is made and when one is read.
import { type Addr, addrFromBytes } from "#ip";
import type { AttrReader, MessageWriter } from "../netlink/index.ts";
import type { BridgePort, Link, LinkKind, NewLink } from "../types.ts";
import {
  IFLA_ADDRESS,
  IFLA_BRPORT_ISOLATED,
  IFLA_BRPORT_LEARNING,
  IFLA_BRPORT_MODE,
  IFLA_BRPORT_PROXYARP,
  IFLA_IFNAME,
  IFLA_INFO_DATA,
  IFLA_INFO_KIND,
  IFLA_LINK,
  IFLA_LINKINFO,
  IFLA_MACVLAN_MODE,
  IFLA_MTU,
  IFLA_NET_NS_FD,
  IFLA_VLAN_ID,
  IFLA_VXLAN_ID,
  IFLA_VXLAN_LEARNING,
  IFLA_VXLAN_LINK,
  IFLA_VXLAN_LOCAL,
  IFLA_VXLAN_LOCAL6,
  IFLA_VXLAN_PORT,
  MACVLAN_MODE_BRIDGE,
  MACVLAN_MODE_PASSTHRU,
  MACVLAN_MODE_PRIVATE,
  MACVLAN_MODE_VEPA,
  VETH_INFO_PEER,
} from "../uapi/if_link.ts";

const MACVLAN_MODES = {
  private: MACVLAN_MODE_PRIVATE,
  vepa: MACVLAN_MODE_VEPA,
  bridge: MACVLAN_MODE_BRIDGE,
  passthru: MACVLAN_MODE_PASSTHRU,
} as const;

/** Writes what makes a link this kind. `indexOf` finds parents. */
export function writeLinkKind(w: MessageWriter, link: NewLink, indexOf: (name: string) => number): void {
  const type = link.type;
  if (type.kind === "macvlan" || type.kind === "vlan") w.u32(IFLA_LINK, indexOf(type.parent));
  const info = w.openNest(IFLA_LINKINFO);
  w.string(IFLA_INFO_KIND, type.kind);
  const data = w.openNest(IFLA_INFO_DATA);
  if (type.kind === "macvlan") w.u32(IFLA_MACVLAN_MODE, MACVLAN_MODES[type.mode]);
  else if (type.kind === "vlan") w.u16(IFLA_VLAN_ID, type.id);
  else if (type.kind === "veth") writePeer(w, type.peer);
  else if (type.kind === "vxlan") writeVxlan(w, type, indexOf);
  w.closeNest(data);
  w.closeNest(info);
}

/** The peer is a whole ifinfomsg with attributes of its own (drivers/net/veth.c veth_newlink). */
function writePeer(w: MessageWriter, peer: Extract<LinkKind, { kind: "veth" }>["peer"]): void {
  const at = w.openNest(VETH_INFO_PEER);
  w.putBytes(new Uint8Array(16));
  w.string(IFLA_IFNAME, peer.name);
  if (peer.mac !== undefined) w.attrBytes(IFLA_ADDRESS, peer.mac);
  if (peer.mtu !== undefined) w.u32(IFLA_MTU, peer.mtu);
  if (peer.netns !== undefined) w.u32(IFLA_NET_NS_FD, peer.netns.fd);
  w.closeNest(at);
}

function writeVxlan(w: MessageWriter, type: Extract<LinkKind, { kind: "vxlan" }>, indexOf: (name: string) => number): void {
  w.u32(IFLA_VXLAN_ID, type.vni);
  if (type.device !== undefined) w.u32(IFLA_VXLAN_LINK, indexOf(type.device));
  if (type.local !== undefined) w.attrBytes(type.local.family === 4 ? IFLA_VXLAN_LOCAL : IFLA_VXLAN_LOCAL6, type.local.bytes);
  w.u8(IFLA_VXLAN_LEARNING, type.learning ? 1 : 0);
  w.u16be(IFLA_VXLAN_PORT, type.port);
}

export function readVxlan(attrs: AttrReader): { vxlan: NonNullable<Link["vxlan"]>; parentIndex: number | undefined } {
  let parentIndex: number | undefined;
  let vni = 0;
  let port = 0;
  let learning = false;
  let local: Addr | undefined;
  while (attrs.next()) {
    if (attrs.type === IFLA_VXLAN_ID) vni = attrs.u32();
    else if (attrs.type === IFLA_VXLAN_PORT) port = attrs.u16be();
    else if (attrs.type === IFLA_VXLAN_LEARNING) learning = attrs.u8() !== 0;
    else if (attrs.type === IFLA_VXLAN_LINK) parentIndex = attrs.u32();
    else if (attrs.type === IFLA_VXLAN_LOCAL || attrs.type === IFLA_VXLAN_LOCAL6) local = addrFromBytes(attrs.bytes());
  }
  return { vxlan: { vni, port, local, learning }, parentIndex };
}

const BRPORT_FLAGS: readonly (readonly [keyof BridgePort, number])[] = [
  ["isolated", IFLA_BRPORT_ISOLATED],
  ["hairpin", IFLA_BRPORT_MODE],
  ["learning", IFLA_BRPORT_LEARNING],
  ["proxyArp", IFLA_BRPORT_PROXYARP],
];

export function readBridgePort(attrs: AttrReader): BridgePort {
  const port = { isolated: false, hairpin: false, learning: false, proxyArp: false };
  while (attrs.next()) {
    const flag = BRPORT_FLAGS.find(([, type]) => type === attrs.type);
    if (flag !== undefined) port[flag[0]] = attrs.u8() !== 0;
  }
  return port;
}

export function writeBridgePort(w: MessageWriter, port: Partial<BridgePort>): void {
  for (const [name, type] of BRPORT_FLAGS) {
    const value = port[name];
    if (value !== undefined) w.u8(type, value ? 1 : 0);
  }
}
