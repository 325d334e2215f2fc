// Neighbours and forwarding entries: RTM_*NEIGH (net/core/neighbour.c; AF_BRIDGE: net/core/rtnetlink.c rtnl_fdb_*).
import { type Addr, addrFromBytes } from "#ip";
import { isErrno } from "../kernel-error.ts";
import { MessageWriter, type NetlinkMessage } from "../netlink/index.ts";
import type { Fdb, Neigh, RouteSocket } from "../types.ts";
import {
  NDA_DST,
  NDA_IFINDEX,
  NDA_LLADDR,
  NTF_MASTER,
  NTF_PROXY,
  NTF_SELF,
  NUD_DELAY,
  NUD_FAILED,
  NUD_INCOMPLETE,
  NUD_NOARP,
  NUD_PERMANENT,
  NUD_PROBE,
  NUD_REACHABLE,
  NUD_STALE,
} from "../uapi/neighbour.ts";
import { NLM_F_APPEND, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REPLACE } from "../uapi/netlink.ts";
import { RTM_DELNEIGH, RTM_GETNEIGH, RTM_NEWNEIGH } from "../uapi/rtnetlink.ts";
import { AF_BRIDGE, AF_INET, AF_INET6, AF_UNSPEC } from "../uapi/socket.ts";
import { cachedIndex, type RouteContext, sendMany } from "./context.ts";
import { describeFdb, describeNeigh } from "./describe.ts";
import { getLink, linkNames } from "./links.ts";

const NDMSG_BYTES = 12;

const STATES = {
  permanent: NUD_PERMANENT,
  reachable: NUD_REACHABLE,
  stale: NUD_STALE,
  noarp: NUD_NOARP,
  failed: NUD_FAILED,
  incomplete: NUD_INCOMPLETE,
  delay: NUD_DELAY,
  probe: NUD_PROBE,
} as const;

const STATE_NAMES: ReadonlyMap<number, NonNullable<Neigh["state"]>> = new Map(
  (Object.keys(STATES) as (keyof typeof STATES)[]).map((name) => [STATES[name], name]),
);

interface NdMsg {
  readonly family: number;
  readonly index: number;
  readonly state?: number;
  readonly flags?: number;
}

function putNdMsg(w: MessageWriter, nd: NdMsg): void {
  w.putU8(nd.family).putU8(0).putU16(0).putU32(nd.index);
  w.putU16(nd.state ?? 0)
    .putU8(nd.flags ?? 0)
    .putU8(0);
}

function writeNeigh(w: MessageWriter, message: { type: number; flags: number }, neigh: Neigh & { index: number }): void {
  const { family, bytes } = neigh.addr;
  const state = neigh.state ?? "permanent";
  w.begin(message.type, message.flags);
  putNdMsg(w, {
    family: family === 4 ? AF_INET : AF_INET6,
    index: neigh.index,
    ...(neigh.proxy === true ? { flags: NTF_PROXY } : { state: STATES[state] }),
  });
  w.attrBytes(NDA_DST, bytes);
  if (neigh.mac !== undefined) w.attrBytes(NDA_LLADDR, neigh.mac);
  w.end();
}

function readNeigh(message: NetlinkMessage, names: ReadonlyMap<number, string>): Neigh | undefined {
  const { buf, payload: at } = message;
  const proxy = (buf.readUInt8(at + 10) & NTF_PROXY) !== 0;
  const state = STATE_NAMES.get(buf.readUInt16LE(at + 8));
  const link = names.get(buf.readInt32LE(at + 4));
  let addr: Addr | undefined;
  let mac: Uint8Array | undefined;
  const attrs = message.attrs(NDMSG_BYTES);
  while (attrs.next()) {
    if (attrs.type === NDA_DST) addr = addrFromBytes(attrs.bytes());
    else if (attrs.type === NDA_LLADDR && attrs.length === 6) mac = attrs.bytes();
  }
  if (addr === undefined) return undefined;
  if (proxy) return { link: link ?? "", addr, proxy };
  // NUD_NONE: not resolved yet, or what is left of an entry that was refused.
  if (state === undefined) return undefined;
  return { link: link ?? "", addr, ...(mac && { mac }), state };
}

function listNeighs(ctx: RouteContext, link: string | undefined): Neigh[] {
  const op = link === undefined ? "list neighbours" : `list neighbours on "${link}"`;
  const index = link === undefined ? 0 : ctx.indexOf(link, op);
  const names = linkNames(ctx);
  // Proxy entries are a list of their own.
  return [0, NTF_PROXY].flatMap((flags) => {
    const w = new MessageWriter();
    w.begin(RTM_GETNEIGH, NLM_F_DUMP);
    putNdMsg(w, { family: AF_UNSPEC, index: 0, flags });
    if (index !== 0) w.u32(NDA_IFINDEX, index);
    w.end();
    return ctx.netlink.dump(w, (message) => readNeigh(message, names), op).filter((neigh) => link === undefined || neigh.link === link);
  });
}

const SET = { type: RTM_NEWNEIGH, flags: NLM_F_CREATE | NLM_F_REPLACE };

export function neighsOf(ctx: RouteContext): RouteSocket["neighs"] {
  return {
    list: (link) => listNeighs(ctx, link),
    set(neigh) {
      const op = `set ${describeNeigh(neigh)}`;
      const w = new MessageWriter();
      const index = ctx.indexOf(neigh.link, op);
      writeNeigh(w, SET, { ...neigh, index });
      ctx.netlink.request(w, op);
    },
    setMany(neighs) {
      const indexOf = cachedIndex(ctx);
      sendMany(ctx, neighs, {
        write: (w, neigh) => writeNeigh(w, SET, { ...neigh, index: indexOf(neigh.link, `set ${describeNeigh(neigh)}`) }),
        describe: describeNeigh,
      });
    },
    del(neigh) {
      const op = `delete ${describeNeigh(neigh)}`;
      try {
        const w = new MessageWriter();
        const index = ctx.indexOf(neigh.link, op);
        writeNeigh(w, { type: RTM_DELNEIGH, flags: 0 }, { ...neigh, index });
        ctx.netlink.request(w, op);
      } catch (err) {
        if (!isErrno(err, "ENOENT", "ENODEV")) throw err;
      }
    },
  };
}

interface FdbPlace {
  readonly index: number;
  /** NTF_MASTER: the bridge of a port keeps the entry; NTF_SELF: the device itself. */
  readonly flags: number;
}

function fdbPlace(ctx: RouteContext, name: string, op: string): FdbPlace {
  const link = getLink(ctx, name);
  if (link === undefined) return { index: ctx.indexOf(name, op), flags: NTF_SELF };
  return { index: link.index, flags: link.bridgePort !== undefined && link.kind !== "vxlan" ? NTF_MASTER : NTF_SELF };
}

/** Several destinations of one address (for flooding) exist only for group addresses and zero, which cannot be replaced. */
function isFlooding(mac: Uint8Array): boolean {
  return ((mac[0] ?? 0) & 1) !== 0 || mac.every((byte) => byte === 0);
}

function writeFdb(w: MessageWriter, type: number, entry: Fdb, place: FdbPlace): void {
  const setFlags = NLM_F_CREATE | (isFlooding(entry.mac) ? NLM_F_APPEND : NLM_F_REPLACE);
  w.begin(type, type === RTM_NEWNEIGH ? setFlags : 0);
  const state = entry.permanent === false ? NUD_REACHABLE : NUD_PERMANENT;
  putNdMsg(w, { family: AF_BRIDGE, index: place.index, state, flags: place.flags });
  w.attrBytes(NDA_LLADDR, entry.mac);
  if (entry.dst !== undefined) w.attrBytes(NDA_DST, entry.dst.bytes);
  w.end();
}

function readFdb(message: NetlinkMessage, link: { name: string; index: number }): Fdb | undefined {
  const { buf, payload: at } = message;
  if (buf.readInt32LE(at + 4) !== link.index) return undefined;
  let mac: Uint8Array | undefined;
  let dst: Addr | undefined;
  const attrs = message.attrs(NDMSG_BYTES);
  while (attrs.next()) {
    if (attrs.type === NDA_LLADDR && attrs.length === 6) mac = attrs.bytes();
    else if (attrs.type === NDA_DST) dst = addrFromBytes(attrs.bytes());
  }
  if (mac === undefined) return undefined;
  return { link: link.name, mac, ...(dst && { dst }), permanent: (buf.readUInt16LE(at + 8) & NUD_PERMANENT) !== 0 };
}

export function fdbOf(ctx: RouteContext): RouteSocket["fdb"] {
  return {
    list(name) {
      const op = `list forwarding entries of "${name}"`;
      const index = ctx.indexOf(name, op);
      const w = new MessageWriter();
      w.begin(RTM_GETNEIGH, NLM_F_DUMP);
      putNdMsg(w, { family: AF_BRIDGE, index: 0 });
      w.u32(NDA_IFINDEX, index);
      w.end();
      return ctx.netlink.dump(w, (message) => readFdb(message, { name, index }), op);
    },
    set(entry) {
      const op = `set ${describeFdb(entry)}`;
      const w = new MessageWriter();
      writeFdb(w, RTM_NEWNEIGH, entry, fdbPlace(ctx, entry.link, op));
      ctx.netlink.request(w, op);
    },
    setMany(entries) {
      const places = new Map<string, FdbPlace>();
      const placeOf = (entry: Fdb): FdbPlace => {
        const place = places.get(entry.link) ?? fdbPlace(ctx, entry.link, `set ${describeFdb(entry)}`);
        places.set(entry.link, place);
        return place;
      };
      sendMany(ctx, entries, { write: (w, entry) => writeFdb(w, RTM_NEWNEIGH, entry, placeOf(entry)), describe: describeFdb });
    },
    del(entry) {
      const op = `delete ${describeFdb(entry)}`;
      try {
        const w = new MessageWriter();
        writeFdb(w, RTM_DELNEIGH, entry, fdbPlace(ctx, entry.link, op));
        ctx.netlink.request(w, op);
      } catch (err) {
        if (!isErrno(err, "ENOENT", "ENODEV")) throw err;
      }
    },
  };
}
