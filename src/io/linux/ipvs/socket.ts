// IPVS over generic netlink. One send carries many changes; the kernel does them in order while it is being sent.
import { readFileSync } from "node:fs";
import { isErrno, KernelError } from "../kernel-error.ts";
import { MessageWriter, type NetlinkMessage, NetlinkSocket, type Refusal, refusalError, resolveFamily } from "../netlink/index.ts";
import type { NetNs } from "../types.ts";
import { GENL_HDRLEN, NETLINK_GENERIC } from "../uapi/genetlink.ts";
import * as n from "../uapi/ip_vs.ts";
import { NLM_F_DUMP } from "../uapi/netlink.ts";
import { readConnections } from "./connections.ts";
import { readDestination, readService } from "./decode.ts";
import { describeChange, formatIpvsService } from "./describe.ts";
import { beginIpvs, familyOf, writeChange, writeServiceKey } from "./encode.ts";
import type {
  IpvsChange,
  IpvsConnection,
  IpvsDestinationState,
  IpvsServiceKey,
  IpvsServiceState,
  IpvsSocket,
  IpvsTimeouts,
} from "./types.ts";

const EPERM = 1;
const ENOENT = 2;
const ESRCH = 3;
const EINVAL = 22;

/** Few enough that a refusal of each fits into a receive buffer of the default size. */
const CHANGES_PER_SEND = 200;

class KernelIpvs implements IpvsSocket {
  readonly #netlink: NetlinkSocket;
  readonly #familyId: number;
  readonly #ns: NetNs;

  constructor(ns: NetNs, netlink: NetlinkSocket, familyId: number) {
    this.#ns = ns;
    this.#netlink = netlink;
    this.#familyId = familyId;
  }

  info(): { version: string; connectionTableSize: number } {
    let version = 0;
    let connectionTableSize = 0;
    for (const reply of this.#ask(n.IPVS_CMD_GET_INFO, "read what IPVS says of itself")) {
      const attrs = reply.attrs(GENL_HDRLEN);
      while (attrs.next()) {
        if (attrs.type === n.IPVS_INFO_ATTR_VERSION) version = attrs.u32();
        else if (attrs.type === n.IPVS_INFO_ATTR_CONN_TAB_SIZE) connectionTableSize = attrs.u32();
      }
    }
    return { version: `${version >> 16}.${(version >> 8) & 0xff}.${version & 0xff}`, connectionTableSize };
  }

  services(): IpvsServiceState[] {
    const w = new MessageWriter();
    beginIpvs(w, this.#familyId, { cmd: n.IPVS_CMD_GET_SERVICE, flags: NLM_F_DUMP });
    w.end();
    return this.#netlink.dump(w, readService, "list virtual services");
  }

  destinations(service: IpvsServiceKey): IpvsDestinationState[] {
    const w = new MessageWriter();
    beginIpvs(w, this.#familyId, { cmd: n.IPVS_CMD_GET_DEST, flags: NLM_F_DUMP });
    writeServiceKey(w, service);
    w.end();
    const family = familyOf(service);
    const op = (): string => `list destinations of virtual service ${formatIpvsService(service)}`;
    return this.#netlink.dump(w, (message) => readDestination(message, family), op);
  }

  apply(changes: readonly IpvsChange[]): void {
    const w = new MessageWriter(32 * 1024);
    let first: KernelError | undefined;
    let refusals = 0;
    for (let start = 0; start < changes.length; start += CHANGES_PER_SEND) {
      const bySeq = new Map<number, IpvsChange>();
      w.reset();
      for (const change of changes.slice(start, start + CHANGES_PER_SEND)) {
        writeChange(w, this.#familyId, change);
        bySeq.set(w.lastSeq, change);
      }
      const { refused, overrun } = this.#netlink.send(w);
      for (const refusal of refused) {
        const change = bySeq.get(refusal.seq);
        if (change === undefined || isGone(change, refusal)) continue;
        refusals++;
        first ??= refusalError(explained(change, refusal), describeChange(change));
      }
      if (overrun) first ??= new KernelError({ op: "change virtual services", errno: 105, detail: "more refusals than could be received" });
    }
    if (first === undefined) return;
    const { op = "", errno, detail } = first;
    throw new KernelError({ op, errno, detail, facts: { refused: refusals, of: changes.length } });
  }

  flush(): void {
    this.#ask(n.IPVS_CMD_FLUSH, "delete all virtual services");
  }

  connections(): IpvsConnection[] {
    // /proc/net is the main thread's; this thread may be in another namespace.
    return readConnections(this.#ns.run(() => readFileSync("/proc/thread-self/net/ip_vs_conn", "utf8")));
  }

  timeouts(): IpvsTimeouts {
    const found = { tcpSeconds: 0, tcpFinSeconds: 0, udpSeconds: 0 };
    for (const reply of this.#ask(n.IPVS_CMD_GET_CONFIG, "read IPVS timeouts")) {
      const attrs = reply.attrs(GENL_HDRLEN);
      while (attrs.next()) {
        if (attrs.type === n.IPVS_CMD_ATTR_TIMEOUT_TCP) found.tcpSeconds = attrs.u32();
        else if (attrs.type === n.IPVS_CMD_ATTR_TIMEOUT_TCP_FIN) found.tcpFinSeconds = attrs.u32();
        else if (attrs.type === n.IPVS_CMD_ATTR_TIMEOUT_UDP) found.udpSeconds = attrs.u32();
      }
    }
    return found;
  }

  setTimeouts({ tcpSeconds, tcpFinSeconds, udpSeconds }: Partial<IpvsTimeouts>): void {
    const w = new MessageWriter();
    beginIpvs(w, this.#familyId, { cmd: n.IPVS_CMD_SET_CONFIG });
    if (tcpSeconds !== undefined) w.u32(n.IPVS_CMD_ATTR_TIMEOUT_TCP, tcpSeconds);
    if (tcpFinSeconds !== undefined) w.u32(n.IPVS_CMD_ATTR_TIMEOUT_TCP_FIN, tcpFinSeconds);
    if (udpSeconds !== undefined) w.u32(n.IPVS_CMD_ATTR_TIMEOUT_UDP, udpSeconds);
    w.end();
    this.#netlink.request(w, "set IPVS timeouts");
  }

  close(): void {
    this.#netlink.close();
  }

  #ask(cmd: number, op: string): NetlinkMessage[] {
    const w = new MessageWriter();
    beginIpvs(w, this.#familyId, { cmd });
    w.end();
    return this.#netlink.request(w, op);
  }
}

/** Whether what was to be deleted was gone already. */
function isGone({ op }: IpvsChange, { errno }: Refusal): boolean {
  if (op === "delete service") return errno === ESRCH;
  return op === "delete destination" && (errno === ESRCH || errno === ENOENT);
}

/** IPVS has no words of its own, and its errno alone says little. */
function explained(change: IpvsChange, refusal: Refusal): Refusal {
  if (refusal.detail !== undefined) return refusal;
  const { op } = change;
  if (refusal.errno === ESRCH) return { ...refusal, detail: "there is no such virtual service" };
  if (refusal.errno === EPERM) return { ...refusal, detail: "before Linux 6.10 this takes the root of the first user namespace" };
  if ("destination" in change && refusal.errno === EINVAL) {
    // ip_vs_new_dest; before a namespace has its first IPv4 address, inet_addr_type knows no unicast.
    return { ...refusal, detail: "it is no unicast address, or this namespace has no address yet" };
  }
  if (refusal.errno !== ENOENT) return refusal;
  if (op === "add service" || op === "change service") {
    return { ...refusal, detail: `this kernel has no scheduler "${change.service.scheduler}" (module ip_vs_${change.service.scheduler})` };
  }
  return { ...refusal, detail: "it has no such destination" };
}

/**
 * Opens IPVS of a namespace. Throws ENOENT where the kernel has none (the module `ip_vs` is loaded by asking for it, where there is
 * one and this process may).
 */
export function openIpvs(ns: NetNs): IpvsSocket {
  const netlink = new NetlinkSocket(NETLINK_GENERIC, { ns });
  try {
    return new KernelIpvs(ns, netlink, resolveFamily(netlink, n.IPVS_GENL_NAME));
  } catch (err) {
    netlink.close();
    if (!isErrno(err, "ENOENT")) throw err;
    throw new KernelError({ op: "open IPVS", errno: ENOENT, detail: "this kernel has no IP Virtual Server (CONFIG_IP_VS, module ip_vs)" });
  }
}
