// Which end a text means, before any object is looked at. Pure.
import { InputError } from "#base";
import { type Addr, tryParseAddr } from "#ip";
import type { Protocol } from "#observe";

export type EndText =
  | { readonly kind: "pod" | "service"; readonly namespace?: string; readonly name: string; readonly port?: string }
  | { readonly kind: "node"; readonly name: string; readonly port?: string }
  | { readonly kind: "outside" }
  | { readonly kind: "address"; readonly addr: Addr; readonly port?: string }
  /** A pod or Service of that name, or a name of DNS. */
  | { readonly kind: "name"; readonly name: string; readonly namespace?: string; readonly port?: string };

const KINDS: Readonly<Record<string, "pod" | "service" | "node">> = {
  pod: "pod",
  pods: "pod",
  po: "pod",
  svc: "service",
  service: "service",
  services: "service",
  node: "node",
  nodes: "node",
  no: "node",
};

/** `field` is what messages name. Throws InputError. */
export function parseEnd(text: string, field: string): EndText {
  if (text === "") throw new InputError(field, "is empty; name a pod, svc/NAME, node/NAME, an address or a DNS name");
  if (text === "outside") return { kind: "outside" };
  const address = parseAddress(text);
  if (address !== undefined) return address;
  const { host, port } = splitPort(text, field);
  const parts = host.split("/");
  const kind = parts.length > 1 ? KINDS[parts[0] ?? ""] : undefined;
  const rest = kind === undefined ? parts : parts.slice(1);
  if (rest.some((part) => part === "") || rest.length > 2 || (kind === "node" && rest.length !== 1)) {
    throw new InputError(
      field,
      `"${text}" is not an end: NAME, NAMESPACE/NAME, pod/NAME, svc/NAME, node/NAME, outside, an address or a name`,
    );
  }
  const name = rest.at(-1) ?? "";
  const more = port === undefined ? {} : { port };
  if (kind === "node") return { kind, name, ...more };
  const [namespace] = rest.length === 2 ? rest : [];
  return { kind: kind ?? "name", name, ...(namespace !== undefined && { namespace }), ...more };
}

function parseAddress(text: string): EndText | undefined {
  const whole = tryParseAddr(text);
  if (whole !== undefined) return { kind: "address", addr: whole };
  const [, inBrackets, before, port] = /^(?:\[([^\]]+)\]|([^:]+))(?::([^:]+))?$/.exec(text) ?? [];
  const addr = tryParseAddr(inBrackets ?? before ?? "");
  return addr === undefined ? undefined : { kind: "address", addr, ...(port !== undefined && { port }) };
}

function splitPort(text: string, field: string): { readonly host: string; readonly port?: string } {
  const at = text.indexOf(":");
  if (at < 0) return { host: text };
  const port = text.slice(at + 1);
  if (!/^[a-z0-9-]+$/i.test(port)) throw new InputError(field, `"${port}" in "${text}" is neither a port nor the name of one`);
  return { host: text.slice(0, at), port };
}

export interface PortText {
  /** A number, or the name of a port. */
  readonly port?: number | string;
  readonly protocol?: Protocol;
}

const PROTOCOLS: readonly string[] = ["tcp", "udp", "sctp", "icmp"] satisfies Protocol[];

/** `80`, `http`, `53/udp`, `/sctp`. Throws InputError. */
export function parsePort(text: string | undefined, field: string): PortText {
  if (text === undefined) return {};
  const [number = "", protocol] = text.toLowerCase().split("/");
  if (protocol !== undefined && !isProtocol(protocol)) {
    throw new InputError(field, `"${protocol}" is not a protocol; there are: ${PROTOCOLS.join(", ")}`);
  }
  const more = protocol === undefined ? {} : { protocol };
  if (number === "") return more;
  if (!/^\d+$/.test(number)) return { port: number, ...more };
  if (Number(number) < 1 || Number(number) > 65_535) throw new InputError(field, `${number} is not a port from 1 to 65535`);
  return { port: Number(number), ...more };
}

function isProtocol(text: string): text is Protocol {
  return PROTOCOLS.includes(text);
}
