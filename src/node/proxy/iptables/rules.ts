// iptables rules as data, and as text exactly as iptables-save prints it (1.8, legacy and nf_tables alike): what was written and what is
// read back are then compared as text. Where another version prints a rule otherwise, its chain is written once more, to the same effect.
import { type Addr, type Family, formatAddrPort, formatPrefix, maskPrefix, type Prefix } from "#ip";
import { SCTP, TCP, UDP } from "#nft";

export type TableName = "filter" | "nat";

/** The order in which they are written: who is to be refused is so before nobody answers. */
export const TABLES: readonly TableName[] = ["filter", "nat"];

interface PortRange {
  readonly from: number;
  readonly to: number;
}

/** What a chain has found out, for chains after it. */
type Bit = "masquerade" | "inside";

export type Target =
  | { readonly kind: "jump"; readonly chain: string }
  | { readonly kind: "dnat"; readonly addr: Addr; readonly port: number }
  | { readonly kind: "masquerade" }
  /** Sets or clears a bit of the connection's mark. */
  | { readonly kind: "mark"; readonly bit: Bit; readonly on: boolean }
  | { readonly kind: "reject"; readonly with: "tcp-reset" | "icmp-port-unreachable" | "icmp6-port-unreachable" }
  | { readonly kind: "drop" }
  | { readonly kind: "return" };

/** A packet must match all that is there. */
export interface Rule {
  readonly src?: Prefix;
  readonly dst?: Prefix;
  /** IPPROTO_*. */
  readonly protocol?: number;
  /** For people; beyond 255 characters it is cut. */
  readonly comment?: string;
  /** Only with a protocol. */
  readonly dport?: PortRange;
  /** The first packet of a connection. */
  readonly isNew?: boolean;
  readonly marked?: Bit;
  /** The source is an address of this node. */
  readonly fromNode?: boolean;
  /** The list `name` of clients (xt_recent): put the source there, or ask whether it was put there less than `withinSeconds` ago. */
  readonly recent?: { readonly name: string; readonly family: Family; readonly withinSeconds?: number };
  /** Matches this part of packets. */
  readonly probability?: number;
  readonly target: Target;
}

export type Chains = ReadonlyMap<string, readonly Rule[]>;

/**
 * In the connection's mark, not in the packet's: routing does not see it, and the outer packet of a tunnel does not inherit it, which
 * would be translated a second time (kubernetes/kubernetes#92035). The bits are cleared where packets leave the node.
 */
const BITS: Readonly<Record<Bit, string>> = { masquerade: "0x4000", inside: "0x8000" };

const PROTOCOLS: Readonly<Record<number, string>> = { [TCP]: "tcp", [UDP]: "udp", [SCTP]: "sctp" };

/** Without `-A CHAIN`. */
export function formatRule(rule: Rule): string {
  const protocol = rule.protocol === undefined ? undefined : (PROTOCOLS[rule.protocol] ?? String(rule.protocol));
  const parts = [
    rule.src && rule.src.bits > 0 && `-s ${formatPrefix(maskPrefix(rule.src))}`,
    rule.dst && rule.dst.bits > 0 && `-d ${formatPrefix(maskPrefix(rule.dst))}`,
    protocol && `-p ${protocol}`,
    rule.comment !== undefined && `-m comment --comment ${quote(rule.comment)}`,
    rule.dport && `-m ${protocol} --dport ${formatPorts(rule.dport)}`,
    rule.isNew && "-m conntrack --ctstate NEW",
    rule.marked && `-m connmark --mark ${BITS[rule.marked]}/${BITS[rule.marked]}`,
    rule.fromNode && "-m addrtype --src-type LOCAL",
    rule.recent && formatRecent(rule.recent),
    rule.probability !== undefined && `-m statistic --mode random --probability ${formatProbability(rule.probability)}`,
    `-j ${formatTarget(rule.target)}`,
  ];
  return parts.filter((part) => typeof part === "string").join(" ");
}

function formatPorts({ from, to }: PortRange): string {
  return from === to ? String(from) : `${from}:${to}`;
}

function formatRecent({ name, family, withinSeconds }: NonNullable<Rule["recent"]>): string {
  const what = withinSeconds === undefined ? "--set" : `--rcheck --seconds ${withinSeconds} --reap`;
  const mask = family === 4 ? "255.255.255.255" : Array.from({ length: 8 }, () => "ffff").join(":");
  return `-m recent ${what} --name ${name} --mask ${mask} --rsource`;
}

/** The kernel keeps 31 bits of it (xt_statistic.h, `XT_STATISTIC_MODE_RANDOM`), and this is how they are printed. */
function formatProbability(probability: number): string {
  return (Math.round(probability * 2 ** 31) / 2 ** 31).toFixed(11);
}

function formatTarget(target: Target): string {
  switch (target.kind) {
    case "jump":
      return target.chain;
    case "dnat":
      return `DNAT --to-destination ${formatAddrPort(target.addr, target.port)}`;
    case "masquerade":
      return "MASQUERADE --random-fully";
    case "mark":
      return `CONNMARK --set-xmark ${target.on ? BITS[target.bit] : "0x0"}/${BITS[target.bit]}`;
    case "reject":
      return `REJECT --reject-with ${target.with}`;
    case "drop":
      return "DROP";
    case "return":
      return "RETURN";
    default:
      return target satisfies never;
  }
}

/** XT_MAX_COMMENT_LEN is 256 with the byte at the end. */
const COMMENT_CHARS = 255;

/** Printed with quotes unless it is one plain word (libxtables, `xtables_save_string`). What would need a backslash is left out. */
function quote(comment: string): string {
  const text = comment.replace(/[^\x20-\x7e]|["'\\]/g, "_").slice(0, COMMENT_CHARS);
  return /^[\w-]+$/.test(text) ? text : `"${text}"`;
}

/** A chain's rules as iptables-save prints them. */
export function formatChain(name: string, rules: readonly string[]): string {
  return rules.map((rule) => `-A ${name} ${rule}`).join("\n");
}
