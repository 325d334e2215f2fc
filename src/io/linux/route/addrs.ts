// Addresses of links: RTM_*ADDR (rtnetlink(7), net/ipv4/devinet.c, net/ipv6/addrconf.c).
import { addrFromBytes } from "#ip";
import { isErrno } from "../kernel-error.ts";
import { MessageWriter, type NetlinkMessage } from "../netlink/index.ts";
import type { LinkAddr, RouteSocket } from "../types.ts";
import { IFA_ADDRESS, IFA_F_NODAD, IFA_FLAGS, IFA_LOCAL } from "../uapi/if_addr.ts";
import { NLM_F_CREATE, NLM_F_DUMP, NLM_F_REPLACE } from "../uapi/netlink.ts";
import { RT_SCOPE_UNIVERSE, RTM_DELADDR, RTM_GETADDR, RTM_NEWADDR } from "../uapi/rtnetlink.ts";
import { AF_INET, AF_INET6, AF_UNSPEC } from "../uapi/socket.ts";
import type { RouteContext } from "./context.ts";
import { describeAddr } from "./describe.ts";
import { linkNames } from "./links.ts";

const IFADDRMSG_BYTES = 8;

function writeAddr(w: MessageWriter, message: { type: number; flags: number }, addr: LinkAddr & { index: number }): void {
  const { family, bytes } = addr.prefix.addr;
  w.begin(message.type, message.flags);
  w.putU8(family === 4 ? AF_INET : AF_INET6)
    .putU8(addr.prefix.bits)
    .putU8(0)
    .putU8(RT_SCOPE_UNIVERSE)
    .putU32(addr.index);
  w.attrBytes(IFA_LOCAL, bytes).attrBytes(IFA_ADDRESS, bytes);
  if (family === 6 && (addr.noDad ?? true)) w.u32(IFA_FLAGS, IFA_F_NODAD);
  w.end();
}

function readAddr(message: NetlinkMessage, names: ReadonlyMap<number, string>): LinkAddr {
  const at = message.payload;
  const link = names.get(message.buf.readUInt32LE(at + 4)) ?? "";
  const bits = message.buf.readUInt8(at + 1);
  let flags = message.buf.readUInt8(at + 2);
  // IFA_ADDRESS is the peer's on point-to-point links, and the only one of IPv6.
  let address: Uint8Array | undefined;
  let local: Uint8Array | undefined;
  const attrs = message.attrs(IFADDRMSG_BYTES);
  while (attrs.next()) {
    if (attrs.type === IFA_LOCAL) local = attrs.bytes();
    else if (attrs.type === IFA_ADDRESS) address = attrs.bytes();
    else if (attrs.type === IFA_FLAGS) flags = attrs.u32();
  }
  const addr = addrFromBytes(local ?? address ?? new Uint8Array(4));
  const dad = addr.family === 6 && (flags & IFA_F_NODAD) === 0;
  return { link, prefix: { addr, bits }, ...(dad && { noDad: false }) };
}

export function addrsOf(ctx: RouteContext): RouteSocket["addrs"] {
  return {
    list(link) {
      const w = new MessageWriter();
      w.begin(RTM_GETADDR, NLM_F_DUMP);
      const op = link === undefined ? "list addresses" : `list addresses of "${link}"`;
      w.putU8(AF_UNSPEC).putU8(0).putU8(0).putU8(0);
      w.putU32(link === undefined ? 0 : ctx.indexOf(link, op));
      w.end();
      const names = linkNames(ctx);
      return ctx.netlink.dump(w, (message) => readAddr(message, names), op).filter((a) => link === undefined || a.link === link);
    },
    set(addr) {
      const op = `set ${describeAddr(addr)}`;
      const w = new MessageWriter();
      const index = ctx.indexOf(addr.link, op);
      writeAddr(w, { type: RTM_NEWADDR, flags: NLM_F_CREATE | NLM_F_REPLACE }, { ...addr, index });
      ctx.netlink.request(w, op);
    },
    del(addr) {
      const op = `delete ${describeAddr(addr)}`;
      try {
        const w = new MessageWriter();
        const index = ctx.indexOf(addr.link, op);
        writeAddr(w, { type: RTM_DELADDR, flags: 0 }, { ...addr, index });
        ctx.netlink.request(w, op);
      } catch (err) {
        if (!isErrno(err, "EADDRNOTAVAIL", "ENODEV")) throw err;
      }
    },
  };
}
