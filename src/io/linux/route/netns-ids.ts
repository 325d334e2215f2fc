// The numbers by which a namespace counts others: links say by them where their other end is (IFLA_LINK_NETNSID).
import { isErrno } from "../kernel-error.ts";
import { MessageWriter, type NetlinkMessage, NetlinkSocket } from "../netlink/index.ts";
import type { NetNs } from "../types.ts";
import { NETNSA_FD, NETNSA_NSID, NSID_NOT_ASSIGNED } from "../uapi/net_namespace.ts";
import { NETLINK_ROUTE } from "../uapi/netlink.ts";
import { RTM_GETNSID } from "../uapi/rtnetlink.ts";

/** sizeof(struct rtgenmsg), aligned. */
const RTGENMSG_BYTES = 4;

function ask(netlink: NetlinkSocket, w: MessageWriter, other: NetNs): NetlinkMessage[] {
  try {
    return netlink.request(w, `ask for the number of network namespace ${other.path}`);
  } catch (err) {
    if (isErrno(err, "EBADF", "EINVAL")) return [];
    throw err;
  }
}

/** The number of each of `others` in `ns`; those that `ns` has no number for, and closed ones, are left out. */
export function netnsIds(ns: NetNs, others: readonly NetNs[]): Map<number, NetNs> {
  using netlink = new NetlinkSocket(NETLINK_ROUTE, { ns });
  const found = new Map<number, NetNs>();
  const w = new MessageWriter(64);
  for (const other of others) {
    w.reset();
    w.begin(RTM_GETNSID, 0);
    w.putU32(0).u32(NETNSA_FD, other.fd).end();
    const [reply] = ask(netlink, w, other);
    const attrs = reply?.attrs(RTGENMSG_BYTES);
    while (attrs?.next() === true) {
      if (attrs.type === NETNSA_NSID && attrs.i32() !== NSID_NOT_ASSIGNED) found.set(attrs.i32(), other);
    }
  }
  return found;
}
