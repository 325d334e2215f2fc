// Policy routing rules that look into a table: RTM_*RULE (net/core/fib_rules.c). Rules of other kinds are not listed.
import { type Addr, addrFromBytes, type Family } from "#ip";
import { isErrno } from "../kernel-error.ts";
import { MessageWriter, type NetlinkMessage } from "../netlink/index.ts";
import type { RouteSocket, Rule } from "../types.ts";
import { FR_ACT_TO_TBL, FRA_DST, FRA_FWMARK, FRA_FWMASK, FRA_IIFNAME, FRA_PRIORITY, FRA_SRC, FRA_TABLE } from "../uapi/fib_rules.ts";
import { NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL } from "../uapi/netlink.ts";
import { RTM_DELRULE, RTM_GETRULE, RTM_NEWRULE } from "../uapi/rtnetlink.ts";
import { AF_INET, AF_INET6 } from "../uapi/socket.ts";
import type { RouteContext } from "./context.ts";
import { describeRule } from "./describe.ts";

const FIB_RULE_HDR_BYTES = 12;

function writeRule(w: MessageWriter, message: { type: number; flags: number }, rule: Rule): void {
  w.begin(message.type, message.flags);
  w.putU8(rule.family === 4 ? AF_INET : AF_INET6)
    .putU8(rule.to?.bits ?? 0)
    .putU8(rule.from?.bits ?? 0)
    .putU8(0);
  w.putU8(rule.table < 256 ? rule.table : 0)
    .putU16(0)
    .putU8(FR_ACT_TO_TBL)
    .putU32(0);
  w.u32(FRA_PRIORITY, rule.priority).u32(FRA_TABLE, rule.table);
  if (rule.from !== undefined) w.attrBytes(FRA_SRC, rule.from.addr.bytes);
  if (rule.to !== undefined) w.attrBytes(FRA_DST, rule.to.addr.bytes);
  if (rule.fwmark !== undefined) w.u32(FRA_FWMARK, rule.fwmark.value).u32(FRA_FWMASK, rule.fwmark.mask);
  if (rule.iif !== undefined) w.string(FRA_IIFNAME, rule.iif);
  w.end();
}

function readRule(message: NetlinkMessage): Rule | undefined {
  const { buf, payload: at } = message;
  if (buf.readUInt8(at + 7) !== FR_ACT_TO_TBL) return undefined;
  let priority = 0;
  let table = buf.readUInt8(at + 4);
  let from: Addr | undefined;
  let to: Addr | undefined;
  let mark: number | undefined;
  let mask = 0xffff_ffff;
  let iif: string | undefined;
  const attrs = message.attrs(FIB_RULE_HDR_BYTES);
  while (attrs.next()) {
    if (attrs.type === FRA_PRIORITY) priority = attrs.u32();
    else if (attrs.type === FRA_TABLE) table = attrs.u32();
    else if (attrs.type === FRA_SRC) from = addrFromBytes(attrs.bytes());
    else if (attrs.type === FRA_DST) to = addrFromBytes(attrs.bytes());
    else if (attrs.type === FRA_FWMARK) mark = attrs.u32();
    else if (attrs.type === FRA_FWMASK) mask = attrs.u32();
    else if (attrs.type === FRA_IIFNAME) iif = attrs.string();
  }
  return {
    family: buf.readUInt8(at) === AF_INET ? 4 : 6,
    priority,
    table,
    ...(from && { from: { addr: from, bits: buf.readUInt8(at + 2) } }),
    ...(to && { to: { addr: to, bits: buf.readUInt8(at + 1) } }),
    ...(mark !== undefined && { fwmark: { value: mark, mask } }),
    ...(iif !== undefined && { iif }),
  };
}

export function rulesOf(ctx: RouteContext): RouteSocket["rules"] {
  return {
    list(family: Family) {
      const w = new MessageWriter();
      w.begin(RTM_GETRULE, NLM_F_DUMP);
      w.putU32(family === 4 ? AF_INET : AF_INET6)
        .putU32(0)
        .putU32(0);
      w.end();
      return ctx.netlink.dump(w, readRule, `list IPv${family} rules`);
    },
    add(rule) {
      const w = new MessageWriter();
      writeRule(w, { type: RTM_NEWRULE, flags: NLM_F_CREATE | NLM_F_EXCL }, rule);
      ctx.netlink.request(w, () => `add ${describeRule(rule)}`);
    },
    del(rule) {
      const w = new MessageWriter();
      writeRule(w, { type: RTM_DELRULE, flags: 0 }, rule);
      try {
        ctx.netlink.request(w, () => `delete ${describeRule(rule)}`);
      } catch (err) {
        if (!isErrno(err, "ENOENT")) throw err;
      }
    },
  };
}
