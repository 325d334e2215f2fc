// What must hold after a change, and a packet for which it does not. Pure.
//
//   expectations:
//   - name: only the shop's web reaches its database
//     only-via: { to: { namespace: shop, pods: app=db }, port: 5432/tcp, via: { namespace: shop, pods: app=web } }
//   - never: { from: outside, to: { namespaces: team=pay } }
//   - always: { from: { pods: app=web }, to: { namespace: shop, pods: app=db }, port: 5432 }
import { InputError } from "#base";
import { type Addr, type Prefix, tryParsePrefix } from "#ip";
import { matchLabels, type ParsedLabelSelector, parseLabelSelector } from "#kube";
import type { PodFacts } from "#netpol";
import { type Interval, prefixInterval } from "#nft";

/** Whom an expectation is about. */
export interface Group {
  readonly text: string;
  readonly namespace: string | undefined;
  readonly namespaces: ParsedLabelSelector | undefined;
  readonly pods: ParsedLabelSelector | undefined;
  /** Addresses of neither pods nor nodes, of these; all where there is none. */
  readonly outside: readonly Prefix[] | undefined;
  readonly nodes: boolean;
}

export interface PortExpectation {
  /** IPPROTO_*. */
  readonly protocol: number;
  readonly first: number;
  readonly last: number;
}

export interface Expectation {
  readonly kind: "never" | "always" | "only-via";
  readonly name: string;
  readonly from: Group;
  readonly to: Group;
  /** Who may, for `only-via`. */
  readonly via: Group | undefined;
  /** Undefined: any port at all for `never` and `only-via`, every port for `always`. */
  readonly port: PortExpectation | undefined;
  /** It holds although one of its groups is nobody; otherwise a label that is misspelt would make a check that cannot fail. */
  readonly mayBeNobody: boolean;
}

type Fields = Readonly<Record<string, unknown>>;

/** Reads the value of an expectations file. Throws InputError with the path of what is wrong: `expectations[0].never.port`. */
export function parseExpectations(value: unknown): Expectation[] {
  const root = fieldsOf(value, "expectations file");
  onlyKnown(root, "", ["expectations"]);
  const list = root["expectations"];
  if (!Array.isArray(list)) throw new InputError("expectations", "must be a list");
  if (list.length === 0) throw new InputError("expectations", "is empty, and so would always hold");
  return list.map((each: unknown, i) => parseOne(each, `expectations[${i}]`));
}

const KINDS = ["never", "always", "only-via"] as const;

function parseOne(value: unknown, at: string): Expectation {
  const fields = fieldsOf(value, at);
  onlyKnown(fields, at, ["name", "may-be-nobody", ...KINDS]);
  const kinds = KINDS.filter((kind) => fields[kind] !== undefined);
  const [kind] = kinds;
  if (kind === undefined || kinds.length > 1) throw new InputError(at, `must have one of ${KINDS.join(", ")}`);
  const place = `${at}.${kind}`;
  const given = fieldsOf(fields[kind], place);
  onlyKnown(given, place, kind === "only-via" ? ["from", "to", "port", "via"] : ["from", "to", "port"]);
  if (given["to"] === undefined) throw new InputError(`${place}.to`, "is missing");
  if (kind === "only-via" && given["via"] === undefined) throw new InputError(`${place}.via`, "is missing");
  const from = given["from"] === undefined ? EVERYBODY : parseGroup(given["from"], `${place}.from`);
  if (kind === "always" && given["from"] === undefined) throw new InputError(`${place}.from`, "is missing");
  const to = parseGroup(given["to"], `${place}.to`);
  const via = given["via"] === undefined ? undefined : parseGroup(given["via"], `${place}.via`);
  const port = given["port"] === undefined ? undefined : parsePortExpectation(given["port"], `${place}.port`);
  const text = `${kind} ${from.text} -> ${to.text}${port === undefined ? "" : ` ${String(given["port"])}`}${via === undefined ? "" : ` but ${via.text}`}`;
  const name = fields["name"];
  if (name !== undefined && typeof name !== "string") throw new InputError(`${at}.name`, "must be text");
  const mayBeNobody = fields["may-be-nobody"] ?? false;
  if (typeof mayBeNobody !== "boolean") throw new InputError(`${at}.may-be-nobody`, "must be true or false");
  return { kind, name: name ?? text, from, to, via, port, mayBeNobody };
}

const EVERYBODY: Group = {
  text: "anybody",
  namespace: undefined,
  namespaces: undefined,
  pods: undefined,
  outside: undefined,
  nodes: false,
};
const GROUP_FIELDS = ["namespace", "namespaces", "pods", "outside", "nodes"];

/** `anybody` (all pods and everything outside), `outside`, `nodes`, or fields. */
function parseGroup(value: unknown, at: string): Group {
  if (value === "anybody") return EVERYBODY;
  if (value === "outside") return { ...EVERYBODY, text: "outside", outside: [] };
  if (value === "nodes") return { ...EVERYBODY, text: "nodes", nodes: true };
  if (typeof value === "string")
    throw new InputError(at, `"${value}" is not anybody, outside, nodes or a mapping of ${GROUP_FIELDS.join(", ")}`);
  const fields = fieldsOf(value, at);
  onlyKnown(fields, at, GROUP_FIELDS);
  const text = JSON.stringify(value).replaceAll('"', "");
  const outside = fields["outside"];
  if (outside !== undefined) {
    if (Object.keys(fields).length > 1) throw new InputError(at, "outside stands alone: pods have labels, other addresses have none");
    return { ...EVERYBODY, text, outside: parseBlocks(outside, `${at}.outside`) };
  }
  if (fields["nodes"] !== undefined) return { ...EVERYBODY, text, nodes: fields["nodes"] === true };
  const namespace = fields["namespace"];
  if (namespace !== undefined && typeof namespace !== "string") throw new InputError(`${at}.namespace`, "must be a name");
  const selector = (field: string): ParsedLabelSelector | undefined => {
    const given = fields[field];
    if (given === undefined) return undefined;
    if (typeof given !== "string") throw new InputError(`${at}.${field}`, "must be a label selector such as app=web");
    try {
      return parseLabelSelector(given);
    } catch (err) {
      throw new InputError(`${at}.${field}`, err instanceof Error ? err.message : String(err));
    }
  };
  const [pods, namespaces] = [selector("pods"), selector("namespaces")];
  if (pods === undefined && namespaces === undefined && namespace === undefined) throw new InputError(at, "says nobody");
  return { ...EVERYBODY, text, namespace, namespaces, pods: pods ?? [] };
}

function parseBlocks(value: unknown, at: string): Prefix[] {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  return list.map((text) => {
    const prefix = typeof text === "string" ? tryParsePrefix(text) : undefined;
    if (prefix === undefined) throw new InputError(at, `${JSON.stringify(text)} is not an address block such as 203.0.113.0/24`);
    return prefix;
  });
}

const PROTOCOLS: Readonly<Record<string, number>> = { tcp: 6, udp: 17, sctp: 132 };

/** `80`, `80/tcp`, `8000-8080/udp`, `tcp`. */
export function parsePortExpectation(value: unknown, at: string): PortExpectation {
  const text = String(value).toLowerCase();
  const [, first, last, protocol = "tcp"] =
    /^(\d+)(?:-(\d+))?(?:\/([a-z]+))?$/.exec(text) ?? (text in PROTOCOLS ? ["", "0", "65535", text] : []);
  const number = PROTOCOLS[protocol];
  const [low, high] = [Number(first), Number(last ?? first)];
  if (first === undefined || number === undefined || high > 65_535 || low > high) {
    throw new InputError(at, `"${text}" is not a port such as 80, 53/udp, 8000-8080/tcp or tcp`);
  }
  return { protocol: number, first: low, last: high };
}

function fieldsOf(value: unknown, at: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new InputError(at, "must be a mapping");
  // Checked above: an object that is no array has names.
  return value as Fields;
}

function onlyKnown(fields: Fields, at: string, known: readonly string[]): void {
  for (const field of Object.keys(fields)) {
    if (!known.includes(field)) throw new InputError(at === "" ? field : `${at}.${field}`, `is not known; there are: ${known.join(", ")}`);
  }
}

export function podIsIn(group: Group, pod: PodFacts, namespaces: ReadonlyMap<string, Readonly<Record<string, string>>>): boolean {
  if (group === EVERYBODY) return true;
  if (group.outside !== undefined || group.nodes) return false;
  if (group.namespace !== undefined && group.namespace !== pod.namespace) return false;
  if (group.namespaces !== undefined && !matchLabels(group.namespaces, namespaces.get(pod.namespace) ?? {})) return false;
  return matchLabels(group.pods ?? [], pod.labels);
}

/** Those of the intervals that the group has an address of: the address, and whether it has all of them. */
export function outsideIsIn(group: Group, intervals: readonly Interval[], sample: Addr): Addr | undefined {
  if (group === EVERYBODY || group.outside?.length === 0) return sample;
  for (const prefix of group.outside ?? []) {
    if (prefix.addr.family !== sample.family) continue;
    const block = prefixInterval(prefix);
    for (const { first, last } of intervals) {
      const low = later(first, block.first);
      if (low !== undefined && compare(low, last) <= 0 && compare(low, block.last) <= 0) return low;
    }
  }
  return undefined;
}

function later(a: Interval["first"], b: Interval["first"]): Addr | undefined {
  const found = compare(a, b) >= 0 ? a : b;
  return typeof found === "object" && "family" in found ? found : undefined;
}

function compare(a: Interval["first"], b: Interval["first"]): number {
  if (typeof a !== "object" || typeof b !== "object" || !("bytes" in a) || !("bytes" in b)) return 0;
  for (const [i, byte] of a.bytes.entries()) if (byte !== b.bytes[i]) return byte - (b.bytes[i] ?? 0);
  return 0;
}
