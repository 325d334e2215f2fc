// Links over rtnetlink: RTM_*LINK (rtnetlink(7), net/core/rtnetlink.c).
import { isErrno, KernelError } from "../kernel-error.ts";
import { type AttrReader, MessageWriter, type NetlinkMessage } from "../netlink/index.ts";
import type { Link, LinkChange, NewLink, RouteSocket } from "../types.ts";
import {
  IFF_UP,
  IFLA_ADDRESS,
  IFLA_AF_SPEC,
  IFLA_EXT_MASK,
  IFLA_IFNAME,
  IFLA_INET_CONF,
  IFLA_INET6_ADDR_GEN_MODE,
  IFLA_INFO_DATA,
  IFLA_INFO_KIND,
  IFLA_INFO_SLAVE_DATA,
  IFLA_INFO_SLAVE_KIND,
  IFLA_LINK,
  IFLA_LINK_NETNSID,
  IFLA_LINKINFO,
  IFLA_MASTER,
  IFLA_MTU,
  IFLA_NET_NS_FD,
  IFLA_OPERSTATE,
  IFLA_STATS64,
  IFNAMSIZ,
  IN6_ADDR_GEN_MODE_EUI64,
  IN6_ADDR_GEN_MODE_NONE,
  IPV4_DEVCONF,
} from "../uapi/if_link.ts";
import { NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL } from "../uapi/netlink.ts";
import { RTEXT_FILTER_SKIP_STATS, RTM_DELLINK, RTM_GETLINK, RTM_NEWLINK } from "../uapi/rtnetlink.ts";
import { AF_INET, AF_INET6 } from "../uapi/socket.ts";
import type { RouteContext } from "./context.ts";
import { readBridgePort, readVxlan, writeBridgePort, writeLinkKind } from "./link-kinds.ts";
import { addTun } from "./tun.ts";

/** sizeof(struct ifinfomsg) */
const IFINFOMSG_BYTES = 16;

/** RFC 2863 §6, ifOperStatus. */
const OPER_STATES = ["unknown", "notpresent", "down", "lowerlayerdown", "testing", "dormant", "up"] as const;

function beginLink(w: MessageWriter, type: number, flags: number, index = 0): MessageWriter {
  w.begin(type, flags);
  return w.putU32(0).putU32(index).putU32(0).putU32(0);
}

function beginLinkUpDown(w: MessageWriter, flags: number, link: { index?: number; up: boolean | undefined }): void {
  w.begin(RTM_NEWLINK, flags);
  w.putU32(0)
    .putU32(link.index ?? 0)
    .putU32(link.up === true ? IFF_UP : 0)
    .putU32(link.up === undefined ? 0 : IFF_UP);
}

export function readLink(message: NetlinkMessage): Link {
  const at = message.payload;
  const link = {
    index: message.buf.readInt32LE(at + 4),
    name: "",
    kind: "",
    mac: undefined as Uint8Array | undefined,
    mtu: 0,
    up: (message.buf.readUInt32LE(at + 8) & IFF_UP) !== 0,
    operState: "unknown",
    masterIndex: undefined as number | undefined,
    stats: { rxPackets: 0, rxBytes: 0, txPackets: 0, txBytes: 0 },
  };
  let lower: number | undefined;
  let netnsId: number | undefined;
  let ipv4Conf: Link["ipv4Conf"];
  let info: ReturnType<typeof readInfo> | undefined;
  const attrs = message.attrs(IFINFOMSG_BYTES);
  while (attrs.next()) {
    if (attrs.type === IFLA_IFNAME) link.name = attrs.string();
    else if (attrs.type === IFLA_ADDRESS) link.mac = attrs.length === 6 ? attrs.bytes() : undefined;
    else if (attrs.type === IFLA_MTU) link.mtu = attrs.u32();
    else if (attrs.type === IFLA_MASTER) link.masterIndex = attrs.u32();
    else if (attrs.type === IFLA_LINK) lower = attrs.u32();
    else if (attrs.type === IFLA_AF_SPEC) ipv4Conf = readIpv4Conf(attrs.nested());
    else if (attrs.type === IFLA_LINK_NETNSID) netnsId = attrs.i32();
    else if (attrs.type === IFLA_OPERSTATE) link.operState = OPER_STATES[attrs.u8()] ?? "unknown";
    else if (attrs.type === IFLA_LINKINFO) info = readInfo(attrs.nested());
    else if (attrs.type === IFLA_STATS64) link.stats = readStats(message.buf, attrs.start);
  }
  const { kind = "", vxlan, bridgePort } = info ?? {};
  const parentIndex = info?.parentIndex ?? (kind === "veth" || lower === 0 ? undefined : lower);
  return {
    ...link,
    kind,
    peerIndex: kind === "veth" ? lower : undefined,
    parentIndex,
    ...(kind === "veth" && netnsId !== undefined && { peerNetnsId: netnsId }),
    ...(ipv4Conf && { ipv4Conf }),
    ...(vxlan && { vxlan }),
    ...(bridgePort && { bridgePort }),
  };
}

function readIpv4Conf(families: AttrReader): Link["ipv4Conf"] {
  while (families.next()) {
    if (families.type !== AF_INET) continue;
    const attrs = families.nested();
    while (attrs.next()) {
      if (attrs.type !== IFLA_INET_CONF) continue;
      const values = Buffer.from(attrs.bytes());
      const at = (index: number): number => (4 * index < values.length ? values.readUInt32LE(4 * index) : 0);
      const { forwarding, rp_filter, accept_local, route_localnet, proxy_arp, proxy_arp_pvlan } = IPV4_DEVCONF;
      return {
        forwarding: at(forwarding),
        rp_filter: at(rp_filter),
        accept_local: at(accept_local),
        route_localnet: at(route_localnet),
        proxy_arp: at(proxy_arp),
        proxy_arp_pvlan: at(proxy_arp_pvlan),
      };
    }
  }
  return undefined;
}

type LinkInfo = Partial<Pick<Link, "kind" | "vxlan" | "parentIndex" | "bridgePort">>;

function readInfo(attrs: ReturnType<NetlinkMessage["attrs"]>): LinkInfo {
  const out: { -readonly [K in keyof LinkInfo]: LinkInfo[K] } = {};
  let slaveKind = "";
  while (attrs.next()) {
    if (attrs.type === IFLA_INFO_KIND) out.kind = attrs.string();
    else if (attrs.type === IFLA_INFO_DATA && out.kind === "vxlan") Object.assign(out, readVxlan(attrs.nested()));
    else if (attrs.type === IFLA_INFO_SLAVE_KIND) slaveKind = attrs.string();
    else if (attrs.type === IFLA_INFO_SLAVE_DATA && slaveKind === "bridge") out.bridgePort = readBridgePort(attrs.nested());
  }
  return out;
}

/** struct rtnl_link_stats64 begins: rx_packets, tx_packets, rx_bytes, tx_bytes. */
function readStats(buf: Buffer, at: number): Link["stats"] {
  const u64 = (offset: number): number => Number(buf.readBigUInt64LE(at + offset));
  return { rxPackets: u64(0), txPackets: u64(8), rxBytes: u64(16), txBytes: u64(24) };
}

export function getLink(ctx: RouteContext, name: string): Link | undefined {
  // The kernel would find fault with the attribute.
  if (Buffer.byteLength(name) >= IFNAMSIZ) return undefined;
  const w = beginLink(new MessageWriter(), RTM_GETLINK, 0).string(IFLA_IFNAME, name);
  w.end();
  try {
    const [reply] = ctx.netlink.request(w, `read link "${name}"`);
    return reply && readLink(reply);
  } catch (err) {
    if (isErrno(err, "ENODEV")) return undefined;
    throw err;
  }
}

/** Names by index, for lists of things that lie on links. */
export function linkNames(ctx: RouteContext): Map<number, string> {
  const w = beginLink(new MessageWriter(), RTM_GETLINK, NLM_F_DUMP).u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  w.end();
  const entries = ctx.netlink.dump(w, readName, "list links");
  return new Map(entries);
}

export function readName(message: NetlinkMessage): readonly [number, string] {
  const attrs = message.attrs(IFINFOMSG_BYTES);
  let name = "";
  while (name === "" && attrs.next()) if (attrs.type === IFLA_IFNAME) name = attrs.string();
  return [message.buf.readInt32LE(message.payload + 4), name];
}

function checkName(name: string, op: string): void {
  // dev_valid_name() in net/core/dev.c, which says only EINVAL.
  if (name.length === 0 || Buffer.byteLength(name) >= IFNAMSIZ || name === "." || name === ".." || /[\s/:]/.test(name)) {
    throw new KernelError({ op, errno: 22, detail: `"${name}" is not a link name: 1 to 15 bytes without space, "/" and ":"` });
  }
}

function addLink(ctx: RouteContext, link: NewLink): void {
  const op = `add link "${link.name}" (${link.type.kind})`;
  checkName(link.name, op);
  if (link.type.kind === "veth") checkName(link.type.peer.name, op);
  const indexOf = (name: string): number => ctx.indexOf(name, op);
  if (getLink(ctx, link.name) !== undefined) throw new KernelError({ op, errno: 17, detail: "there is a link of that name" });
  if (link.type.kind === "tun") {
    addTunLink(ctx, link, link.type.mode);
    return;
  }
  const w = new MessageWriter();
  beginLinkUpDown(w, NLM_F_CREATE | NLM_F_EXCL, { up: link.up });
  w.string(IFLA_IFNAME, link.name);
  if (link.mac !== undefined) w.attrBytes(IFLA_ADDRESS, link.mac);
  if (link.mtu !== undefined) w.u32(IFLA_MTU, link.mtu);
  if (link.master !== undefined) w.u32(IFLA_MASTER, indexOf(link.master));
  writeLinkKind(w, link, indexOf);
  w.end();
  ctx.netlink.request(w, op);
}

function addTunLink(ctx: RouteContext, link: NewLink, mode: "tun" | "tap"): void {
  addTun(ctx.ns, link.name, mode);
  const { mac, mtu, master, up } = link;
  try {
    changeLink(ctx, link.name, { ...(mac && { mac }), ...(mtu && { mtu }), ...(master && { master }), ...(up && { up }) });
  } catch (err) {
    delLink(ctx, link.name);
    throw err;
  }
}

function changeLink(ctx: RouteContext, name: string, change: LinkChange): void {
  const op = `change link "${name}"`;
  if (change.name !== undefined) checkName(change.name, op);
  const { addrGenModeNone, ...rest } = change;
  if (change.up === true && addrGenModeNone !== undefined) {
    // In one request the link is up, and has its link-local address, before it has the mode (do_setlink, seen on Linux 6.1).
    changeLink(ctx, name, { addrGenModeNone });
    changeLink(ctx, name, rest);
    return;
  }
  const w = new MessageWriter();
  beginLinkUpDown(w, 0, { index: ctx.indexOf(name, op), up: change.up });
  if (change.name !== undefined) w.string(IFLA_IFNAME, change.name);
  if (change.mac !== undefined) w.attrBytes(IFLA_ADDRESS, change.mac);
  if (change.mtu !== undefined) w.u32(IFLA_MTU, change.mtu);
  if (change.master !== undefined) w.u32(IFLA_MASTER, change.master === null ? 0 : ctx.indexOf(change.master, op));
  if (change.netns !== undefined) w.u32(IFLA_NET_NS_FD, change.netns.fd);
  if (change.addrGenModeNone !== undefined) {
    const mode = change.addrGenModeNone ? IN6_ADDR_GEN_MODE_NONE : IN6_ADDR_GEN_MODE_EUI64;
    w.nest(IFLA_AF_SPEC, () => w.nest(AF_INET6, () => w.u8(IFLA_INET6_ADDR_GEN_MODE, mode)));
  }
  w.end();
  ctx.netlink.request(w, op);
  if (change.bridgePort !== undefined) changeBridgePort(ctx, change.name ?? name, change.bridgePort);
}

/** A request of its own: the kernel looks for the port before it would apply a master of the same request. */
function changeBridgePort(ctx: RouteContext, name: string, port: NonNullable<LinkChange["bridgePort"]>): void {
  const op = `change bridge port "${name}"`;
  const w = beginLink(new MessageWriter(), RTM_NEWLINK, 0, ctx.indexOf(name, op));
  w.nest(IFLA_LINKINFO, () => {
    w.string(IFLA_INFO_SLAVE_KIND, "bridge");
    w.nest(IFLA_INFO_SLAVE_DATA, () => writeBridgePort(w, port));
  });
  w.end();
  ctx.netlink.request(w, op);
}

function delLink(ctx: RouteContext, name: string): void {
  if (Buffer.byteLength(name) >= IFNAMSIZ) return;
  const w = beginLink(new MessageWriter(), RTM_DELLINK, 0).string(IFLA_IFNAME, name);
  w.end();
  try {
    ctx.netlink.request(w, `delete link "${name}"`);
  } catch (err) {
    if (!isErrno(err, "ENODEV")) throw err;
  }
}

export function linksOf(ctx: RouteContext): RouteSocket["links"] {
  return {
    list() {
      const w = beginLink(new MessageWriter(), RTM_GETLINK, NLM_F_DUMP);
      w.end();
      return ctx.netlink.dump(w, readLink, "list links");
    },
    get: (name) => getLink(ctx, name),
    add: (link) => addLink(ctx, link),
    change: (name, change) => changeLink(ctx, name, change),
    del: (name) => delLink(ctx, name),
  };
}
