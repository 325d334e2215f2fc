// Requests from outside, checked field by field.
import { InputError } from "#base";
import type { Addr } from "#ip";
import { decodeJson } from "./codec.ts";
import type { NetworkRequest, Place, ProbeRequest, Protocol, WatchMatch, WatchRequest } from "./types.ts";

const MAX_SECONDS = 600;
const MAX_TIMEOUT_MS = 60_000;
/** More would not fit an unfragmented datagram on any link. */
const MAX_PAYLOAD = 65_000;

type Fields = Readonly<Record<string, unknown>>;

export function parseNetworkQuery(query: URLSearchParams): NetworkRequest {
  return { conntrackEntries: query.get("conntrack") === "1", processes: query.get("processes") !== "0" };
}

export function parseProbeRequest(body: unknown): ProbeRequest {
  const { from, protocol, dst, dstPort, src, srcPort, payload, timeoutMs } = fieldsOf(decodeJson(body), "request");
  const parsed = parseProtocol(protocol);
  if (parsed !== "icmp" && dstPort === undefined) throw new InputError("dstPort", "is needed for everything but icmp");
  return {
    from: parsePlace(from),
    protocol: parsed,
    dst: addrOf(dst, "dst"),
    ...(dstPort !== undefined && { dstPort: integer(dstPort, "dstPort", 65_535) }),
    ...(src !== undefined && { src: addrOf(src, "src") }),
    ...(srcPort !== undefined && { srcPort: integer(srcPort, "srcPort", 65_535) }),
    ...(payload !== undefined && { payload: bytesOf(payload) }),
    timeoutMs: timeoutMs === undefined ? 1000 : integer(timeoutMs, "timeoutMs", MAX_TIMEOUT_MS),
  };
}

export function parseWatchRequest(body: unknown): WatchRequest {
  const { match, seconds, namespaces, captures, traces } = fieldsOf(decodeJson(body), "request");
  return {
    match: parseMatch(match),
    seconds: integer(seconds, "seconds", MAX_SECONDS),
    ...(namespaces !== undefined && { namespaces: list(namespaces, "namespaces", text) }),
    ...(captures !== undefined && { captures: captures === true }),
    ...(traces !== undefined && { traces: traces === true }),
  };
}

function parseMatch(value: unknown): WatchMatch {
  const { protocol, addrs = [], ports = [] } = fieldsOf(value, "match");
  const match = {
    protocol: parseProtocol(protocol),
    addrs: list(addrs, "match.addrs", addrOf),
    ports: list(ports, "match.ports", (port, field) => integer(port, field, 65_535)),
  };
  // Else all that a busy node forwards would be traced.
  if (match.addrs.length + match.ports.length === 0) throw new InputError("match", "names neither an address nor a port");
  return match;
}

function parsePlace(value: unknown): Place {
  const { kind, namespace, name } = fieldsOf(value, "from");
  if (kind === "underlay" || kind === "outside") return { kind };
  if (kind === "node") return { kind, name: text(name, "from.name") };
  if (kind === "pod") return { kind, namespace: text(namespace, "from.namespace"), name: text(name, "from.name") };
  throw new InputError("from.kind", "is none of pod, node, underlay, outside");
}

function parseProtocol(value: unknown): Protocol {
  if (value === "tcp" || value === "udp" || value === "sctp" || value === "icmp") return value;
  throw new InputError("protocol", "is none of tcp, udp, sctp, icmp");
}

function fieldsOf(value: unknown, field: string): Fields {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return { ...value };
  throw new InputError(field, "is not an object");
}

function list<T>(value: unknown, field: string, parse: (item: unknown, field: string) => T): T[] {
  if (!Array.isArray(value)) throw new InputError(field, "is not a list");
  return value.map((item, i) => parse(item, `${field}[${i}]`));
}

function text(value: unknown, field: string): string {
  if (typeof value === "string") return value;
  throw new InputError(field, "is not text");
}

function integer(value: unknown, field: string, max: number): number {
  if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= max) return value;
  throw new InputError(field, `is not a whole number from 0 to ${max}`);
}

function bytesOf(value: unknown): Uint8Array {
  if (!(value instanceof Uint8Array)) throw new InputError("payload", "is not bytes");
  if (value.length > MAX_PAYLOAD) throw new InputError("payload", `has more than ${MAX_PAYLOAD} bytes`);
  return value;
}

function addrOf(value: unknown, field: string): Addr {
  if (typeof value === "object" && value !== null && "family" in value && "bytes" in value) {
    const { family, bytes } = value;
    if (bytes instanceof Uint8Array && ((family === 4 && bytes.length === 4) || (family === 6 && bytes.length === 16)))
      return { family, bytes };
  }
  throw new InputError(field, "is not an address");
}
