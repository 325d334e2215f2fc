// The ruleset as text that `nft -f` reads: format only, since what the kernel holds is read over netlink.
import type { BaseChain, Chain, Element, Hook, NftSet, Rule, SetHeader, Table, Verdict } from "./ast.ts";
import { type Datatype, formatValue, type Interval, isInterval, type Value } from "./datatypes.ts";
import { formatStatement } from "./format-statement.ts";
import { formatInterval } from "./intervals.ts";
import { formatDuration, formatVerdict, quote } from "./text.ts";

export interface FormatOptions {
  /** Leaves out what the kernel counts by itself: counters and what is left of timeouts. */
  readonly stateless?: boolean;
}

export function formatTables(tables: readonly Table[], options: FormatOptions = {}): string {
  return tables.map((table) => formatTable(table, options)).join("\n");
}

export function formatTable(table: Table, options: FormatOptions = {}): string {
  const blocks = [
    ...(table.comment === undefined ? [] : [`\tcomment ${quote(table.comment)}\n`]),
    ...table.sets.map((set) => indent(formatSet(set, options))),
    ...table.chains.map((chain) => indent(formatChain(chain, options))),
  ];
  return `table ${table.family} ${table.name} {\n${blocks.join("\n")}}\n`;
}

function indent(text: string): string {
  return text.replaceAll(/^(?=.)/gm, "\t");
}

export function formatSet(set: NftSet, options: FormatOptions = {}): string {
  const lines = headerLines(set);
  if (set.elements.length > 0) {
    const elements = set.elements.map((element) => formatElement(set, element, options));
    lines.push(`elements = { ${elements.join(",\n\t             ")} }`);
  }
  return `${set.data === undefined ? "set" : "map"} ${set.name} {\n${lines.map((line) => `\t${line}\n`).join("")}}\n`;
}

/** The definition of a set in one line, for messages and comparisons. */
export function formatSetHeader(set: SetHeader): string {
  return `${set.data === undefined ? "set" : "map"} ${set.name} { ${headerLines(set).join("; ")}; }`;
}

function headerLines(set: SetHeader): string[] {
  return [
    typeLine(set),
    ...(set.size === undefined ? [] : [`size ${set.size}`]),
    ...(set.flags === undefined || set.flags.length === 0 ? [] : [`flags ${[...set.flags].sort().join(",")}`]),
    ...(set.timeoutMs === undefined ? [] : [`timeout ${formatDuration(set.timeoutMs)}`]),
    ...(set.gcIntervalMs === undefined ? [] : [`gc-interval ${formatDuration(set.gcIntervalMs)}`]),
    ...(set.comment === undefined ? [] : [`comment ${quote(set.comment)}`]),
  ];
}

/** An expression of each type, for the types that nft cannot name. */
const EXAMPLES: Readonly<Record<Datatype, string>> = {
  ipv4_addr: "ip daddr",
  ipv6_addr: "ip6 daddr",
  ether_addr: "ether daddr",
  inet_proto: "meta l4proto",
  inet_service: "th dport",
  nf_proto: "meta nfproto",
  mark: "meta mark",
  ifname: "meta iifname",
  iface_index: "meta iif",
  ct_state: "ct state",
  ct_status: "ct status",
  ct_dir: "ct direction",
  fib_addrtype: "fib daddr type",
  icmp_type: "icmp type",
  icmpv6_type: "icmpv6 type",
  ether_type: "ether type",
  integer8: "ip ttl",
  integer16: "ip length",
  index: "numgen random mod 2",
};

/** Whether a set with these types has to be declared by `typeof`. */
export function needsTypeof(types: readonly Datatype[]): boolean {
  return types.some((type) => type === "index" || type === "integer8" || type === "integer16");
}

function typeLine(set: SetHeader): string {
  const data = set.data === undefined || set.data === "verdict" ? [] : set.data;
  const byExample = needsTypeof([...set.key, ...data]);
  const list = (types: readonly Datatype[]): string => types.map((type) => (byExample ? EXAMPLES[type] : type)).join(" . ");
  const tail = set.data === undefined ? "" : ` : ${set.data === "verdict" ? "verdict" : list(set.data)}`;
  return `${byExample ? "typeof" : "type"} ${list(set.key)}${tail}`;
}

export function formatElement(set: SetHeader, element: Element, options: FormatOptions = {}): string {
  let text = formatKey(set, element);
  if (element.timeoutMs !== undefined) text += ` timeout ${formatDuration(element.timeoutMs)}`;
  if (element.expiresMs !== undefined && options.stateless !== true) text += ` expires ${formatDuration(element.expiresMs)}`;
  if (element.comment !== undefined) text += ` comment ${quote(element.comment)}`;
  return element.data === undefined ? text : `${text} : ${formatData(set, element.data)}`;
}

/** The key alone; equal texts are equal keys. */
export function formatKey(set: SetHeader, element: Element): string {
  return formatParts(set.key, element.key);
}

export function formatData(set: SetHeader, data: readonly Value[] | Verdict): string {
  if ("kind" in data) return formatVerdict(data);
  return formatParts(set.data === undefined || set.data === "verdict" ? [] : set.data, data);
}

function formatParts(types: readonly Datatype[], parts: readonly (Value | Interval)[]): string {
  let text = "";
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i];
    const type = types[i];
    if (part === undefined || type === undefined) continue;
    text += `${i === 0 ? "" : " . "}${isInterval(part) ? formatInterval(type, part) : formatValue(type, part)}`;
  }
  return text;
}

export function formatChain(chain: Chain, options: FormatOptions = {}): string {
  const lines = [
    ...(chain.comment === undefined ? [] : [`comment ${quote(chain.comment)}`]),
    ...(chain.base === undefined ? [] : [formatBase(chain.base)]),
    ...chain.rules.map((rule) => formatRule(rule, options)),
  ];
  return `chain ${chain.name} {\n${lines.map((line) => `\t${line}\n`).join("")}}\n`;
}

/** Names of priorities, and the hook where nft takes them; those without one it takes everywhere. */
const PRIORITIES: readonly (readonly [name: string, value: number, hook?: Hook])[] = [
  ["raw", -300],
  ["mangle", -150],
  ["dstnat", -100, "prerouting"],
  ["filter", 0],
  ["security", 50],
  ["srcnat", 100, "postrouting"],
];

export function formatBase(base: BaseChain): string {
  const device = base.device === undefined ? "" : ` device "${base.device}"`;
  return `type ${base.type} hook ${base.hook}${device} priority ${formatPriority(base)}; policy ${base.policy};`;
}

function formatPriority({ priority, hook }: BaseChain): string {
  for (const [name, value, only] of PRIORITIES) {
    const offset = priority - value;
    if (Math.abs(offset) > 10 || (only !== undefined && only !== hook)) continue;
    return offset === 0 ? name : `${name} ${offset < 0 ? "-" : "+"} ${Math.abs(offset)}`;
  }
  return String(priority);
}

export function formatRule(rule: Rule, options: FormatOptions = {}): string {
  const statements = rule.statements.map((statement) => formatStatement(statement, options.stateless === true));
  return [...statements, ...(rule.comment === undefined ? [] : [`comment ${quote(rule.comment)}`])].join(" ");
}
