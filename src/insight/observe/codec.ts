// Reports, requests and sightings as JSON and back: addresses, big numbers and bytes survive.
import { InputError } from "#base";
import { type Addr, formatAddr, parseAddr } from "#ip";
import type { NodeReport, Sighting } from "./types.ts";

/** What JSON has. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** A value of plain data as JSON: `{$ip}`, `{$big}` and `{$bytes}` (hexadecimal) stand for what JSON does not have. */
export function encodeJson(value: unknown): Json {
  if (value === null || value === undefined) return null;
  if (typeof value === "bigint") return { $big: String(value) };
  if (typeof value === "number" || typeof value === "string" || typeof value === "boolean") return value;
  if (value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString("hex") };
  if (Array.isArray(value)) return value.map(encodeJson);
  if (typeof value !== "object") throw new InputError("value", `a ${typeof value} is not data`);
  if (isAddr(value)) return { $ip: formatAddr(value) };
  const entries = Object.entries(value).filter(([, member]) => member !== undefined);
  return Object.fromEntries(entries.map(([key, member]) => [key, encodeJson(member)]));
}

function isAddr(value: object): value is Addr {
  return "family" in value && "bytes" in value && value.bytes instanceof Uint8Array;
}

/** The other way. Throws InputError for an address, number or bytes that are none. */
export function decodeJson(json: unknown): unknown {
  if (typeof json !== "object" || json === null) return json;
  if (Array.isArray(json)) return json.map(decodeJson);
  const entries = Object.entries(json);
  const [first] = entries;
  if (entries.length === 1 && first !== undefined && first[0].startsWith("$") && typeof first[1] === "string") {
    return decodeTagged(first[0], first[1]);
  }
  return Object.fromEntries(entries.map(([key, value]) => [key, decodeJson(value)]));
}

function decodeTagged(tag: string, text: string): unknown {
  if (tag === "$ip") return parseAddr(text);
  if (tag === "$big" && /^-?\d+$/.test(text)) return BigInt(text);
  if (tag === "$bytes" && /^([0-9a-f]{2})*$/.test(text)) return Uint8Array.from(Buffer.from(text, "hex"));
  throw new InputError(tag, `"${text}" is not understood`);
}

export function encodeReport(report: NodeReport): Json {
  return encodeJson(report);
}

/** Throws InputError for what is not a report of this version. */
export function decodeReport(json: unknown): NodeReport {
  const value = decodeJson(json);
  if (!isReport(value)) throw new InputError("report", "not a report of a node's network; is the agent of another version?");
  return value;
}

function isReport(value: unknown): value is NodeReport {
  return typeof value === "object" && value !== null && "node" in value && "namespaces" in value && Array.isArray(value.namespaces);
}

/** Throws InputError for what is not a sighting of this version. */
export function decodeSighting(json: unknown): Sighting {
  const value = decodeJson(json);
  if (!isSighting(value)) throw new InputError("sighting", "not a sighting; is the agent of another version?");
  return value;
}

const KINDS: readonly unknown[] = ["armed", "capture", "trace", "lost"] satisfies readonly Sighting["kind"][];

function isSighting(value: unknown): value is Sighting {
  return typeof value === "object" && value !== null && "kind" in value && KINDS.includes(value.kind);
}
