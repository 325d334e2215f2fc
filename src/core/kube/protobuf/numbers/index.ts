// The field numbers of messages, parsed when a message is first met.
import { CORE_NUMBERS } from "./core.ts";
import {
  APPS_NUMBERS,
  AUTHENTICATION_NUMBERS,
  AUTHORIZATION_NUMBERS,
  AUTOSCALING_NUMBERS,
  BATCH_NUMBERS,
  COORDINATION_NUMBERS,
  DISCOVERY_NUMBERS,
  EVENTS_NUMBERS,
  META_NUMBERS,
  NETWORKING_NUMBERS,
  POLICY_NUMBERS,
} from "./groups.ts";

export interface NumberedField {
  /** The field's name in JSON; for "inlined" the name of the message. */
  readonly name: string;
  /** inlined: its message's fields are the outer object's. wrapped: the list is inside a message {items=1}. */
  readonly form: "plain" | "inlined" | "wrapped";
}

export type MessageNumbers = ReadonlyMap<number, NumberedField>;

const TABLES: Readonly<Record<string, string>> = {
  "apps.v1": APPS_NUMBERS,
  "authentication.v1": AUTHENTICATION_NUMBERS,
  "authorization.v1": AUTHORIZATION_NUMBERS,
  "autoscaling.v1": AUTOSCALING_NUMBERS,
  "batch.v1": BATCH_NUMBERS,
  "coordination.v1": COORDINATION_NUMBERS,
  "core.v1": CORE_NUMBERS,
  "discovery.v1": DISCOVERY_NUMBERS,
  "events.v1": EVENTS_NUMBERS,
  "meta.v1": META_NUMBERS,
  "networking.v1": NETWORKING_NUMBERS,
  "policy.v1": POLICY_NUMBERS,
};

const parsed: Map<string, ReadonlyMap<string, string>> = new Map();
const messages: Map<string, MessageNumbers> = new Map();

function linesOf(pkg: string): ReadonlyMap<string, string> {
  const known = parsed.get(pkg);
  if (known !== undefined) return known;
  const text = (TABLES[pkg] ?? "").replaceAll("\n  ", " ");
  const result = new Map(
    text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => [line.slice(0, line.indexOf(" ")), line]),
  );
  parsed.set(pkg, result);
  return result;
}

/** The numbers of `core.v1` + `Pod`; undefined where there are none. */
export function numbersOf(pkg: string, message: string): MessageNumbers | undefined {
  const key = `${pkg}.${message}`;
  const known = messages.get(key);
  if (known !== undefined) return known;
  const line = linesOf(pkg).get(message);
  if (line === undefined) return undefined;
  const fields = new Map(line.split(" ").slice(1).map(parseField));
  messages.set(key, fields);
  return fields;
}

function parseField(token: string): [number, NumberedField] {
  const equals = token.indexOf("=");
  const number = Number(token.slice(equals + 1));
  if (token.startsWith("~")) return [number, { name: token.slice(1, equals), form: "inlined" }];
  if (token.startsWith("^")) return [number, { name: token.slice(1, equals), form: "wrapped" }];
  return [number, { name: token.slice(0, equals), form: "plain" }];
}
