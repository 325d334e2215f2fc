// Which packets are traced: a table of our own that sets `meta nftrace` before others see the packet. It belongs to its socket: the
// kernel removes it when that is closed, also when this process dies.
import { holdTable, type NetNs } from "#linux";
import {
  type Change,
  type Element,
  equals,
  inSet,
  jump,
  meta,
  type PayloadField,
  payload,
  type SetHeader,
  type Statement,
  type TableId,
} from "#nft";
import { IPPROTO_ICMP, IPPROTO_ICMPV6 } from "#wire";
import { PROTOCOL_NUMBERS } from "./packet-filter.ts";
import type { WatchMatch } from "./types.ts";

export const ARM_TABLE_PREFIX = "fairlead-trace-";

/** After defragmentation (NF_IP_PRI_CONNTRACK_DEFRAG, -400), before everybody's raw tables (-300). */
const PRIORITY = -350;

const NFPROTO_IPV4 = 2;
const NFPROTO_IPV6 = 10;

let count = 0;

/** From its return on until `close`, packets that are meant are traced in `ns`. */
export function armTrace(ns: NetNs, match: WatchMatch): { close(): Promise<void> } {
  return holdTable(ns, armChanges({ family: "inet", name: `${ARM_TABLE_PREFIX}${process.pid}-${++count}` }, match));
}

const ADDRS4: SetHeader = { name: "addrs4", key: ["ipv4_addr"] };
const ADDRS6: SetHeader = { name: "addrs6", key: ["ipv6_addr"] };
const PORTS: SetHeader = { name: "ports", key: ["inet_service"] };

/** ICMP errors of IPv4: destination unreachable, time exceeded, parameter problem (RFC 792). Those of ICMPv6 are below 128 (RFC 4443). */
const ICMP_ERRORS: readonly number[] = [3, 11, 12];

/** Pure. */
function armChanges(table: TableId, match: WatchMatch): Change[] {
  const rule = (chain: string, ...statements: readonly Statement[]): Change => ({ op: "add rule", table, chain, rule: { statements } });
  const l4 = (protocol: number): Statement => equals(meta("l4proto"), protocol);
  const changes: Change[] = [{ op: "add table", table, owned: true, comment: "Watched packets, by Fairlead" }];
  for (const [set, elements] of setsOf(match)) changes.push({ op: "add set", table, set }, { op: "add elements", table, set, elements });
  for (const chain of ["trace", "addrs", "ports"]) changes.push({ op: "add chain", table, chain });
  changes.push(
    rule("trace", { kind: "set", target: { kind: "meta", key: "nftrace" }, value: { kind: "value", type: "integer8", value: 1 } }),
  );
  for (const statements of eitherAddr(match)) changes.push(rule("addrs", ...statements, jump("trace")));
  for (const statements of eitherPort(match)) changes.push(rule("ports", ...statements, jump("addrs")));
  for (const hook of ["prerouting", "output"] as const) {
    changes.push({ op: "add chain", table, chain: hook, base: { type: "filter", hook, priority: PRIORITY, policy: "accept" } });
    for (const protocol of PROTOCOL_NUMBERS[match.protocol]) changes.push(rule(hook, l4(protocol), jump("ports")));
    if (match.protocol === "icmp") continue;
    for (const type of ICMP_ERRORS) changes.push(rule(hook, l4(IPPROTO_ICMP), equals(payload("icmp type"), type), jump("addrs")));
    const below: Statement = { kind: "match", left: payload("icmpv6 type"), op: "<", right: 128 };
    changes.push(rule(hook, l4(IPPROTO_ICMPV6), below, jump("addrs")));
  }
  return changes;
}

function setsOf({ addrs, ports, protocol }: WatchMatch): [SetHeader, Element[]][] {
  const of = (family: 4 | 6): Element[] => addrs.filter((addr) => addr.family === family).map((addr) => ({ key: [addr] }));
  const numbers = protocol === "icmp" ? [] : [...new Set(ports)].map((port): Element => ({ key: [port] }));
  const all: [SetHeader, Element[]][] = [
    [ADDRS4, of(4)],
    [ADDRS6, of(6)],
    [PORTS, numbers],
  ];
  return all.filter(([, elements]) => elements.length > 0);
}

/** One list of matches for each way in which an end is among the addresses. */
function eitherAddr({ addrs }: WatchMatch): Statement[][] {
  if (addrs.length === 0) return [[]];
  const within = (proto: number, set: SetHeader, ...fields: readonly PayloadField[]): Statement[][] =>
    fields.map((field) => [equals(meta("nfproto"), proto), inSet(payload(field), set.name)]);
  return [
    ...(addrs.some(({ family }) => family === 4) ? within(NFPROTO_IPV4, ADDRS4, "ip saddr", "ip daddr") : []),
    ...(addrs.some(({ family }) => family === 6) ? within(NFPROTO_IPV6, ADDRS6, "ip6 saddr", "ip6 daddr") : []),
  ];
}

function eitherPort({ ports, protocol }: WatchMatch): Statement[][] {
  if (ports.length === 0 || protocol === "icmp") return [[]];
  return (["th sport", "th dport"] as const).map((field) => [inSet(payload(field), PORTS.name)]);
}
