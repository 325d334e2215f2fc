// Who is asked about names outside of the cluster: the name servers of a resolv.conf, or those given by hand.
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { networkInterfaces } from "node:os";
import { errorCode, InputError } from "#base";
import type { Upstream } from "./exchange.ts";

const DNS_PORT = 53;

/** `192.0.2.1`, `192.0.2.1:5353`, `[2001:db8::1]:5353`, `2001:db8::1`. Throws InputError. */
export function parseUpstream(text: string, field = "upstream"): Upstream {
  const bracketed = /^\[([^\]]+)\](?::(\d+))?$/.exec(text);
  const plain = bracketed ?? /^([^:]+):(\d+)$/.exec(text);
  const host = plain?.[1] ?? text;
  const port = Number(plain?.[2] ?? DNS_PORT);
  if (isIP(host) === 0 || port < 1 || port > 65535) {
    throw new InputError(field, `"${text}" is not the address of a name server such as 192.0.2.1, 192.0.2.1:5353 or [2001:db8::1]:5353`);
  }
  return { host, port };
}

/** The `nameserver` lines of resolv.conf(5). */
export function parseNameservers(text: string): Upstream[] {
  const hosts = text.split("\n").map((line) => /^nameserver\s+(\S+)/.exec(line)?.[1]?.replace(/%.*$/, ""));
  return hosts.filter((host) => host !== undefined && isIP(host) !== 0).map((host) => ({ host: host ?? "", port: DNS_PORT }));
}

/** The name servers of the file at `path`; none when there is no file. */
export function readNameservers(path: string): Upstream[] {
  try {
    return parseNameservers(readFileSync(path, "utf8"));
  } catch (err) {
    if (errorCode(err) === "ENOENT") return [];
    throw err;
  }
}

/**
 * Without those that would be this server itself, asked forever: its own addresses and loopback, on its own port. A node with a local
 * resolver at 127.0.0.53 gives pods such a resolv.conf.
 */
export function withoutSelf(upstreams: readonly Upstream[], listenPort: number): Upstream[] {
  const own = new Set(Object.values(networkInterfaces()).flatMap((addrs) => (addrs ?? []).map((addr) => addr.address)));
  const isSelf = ({ host, port }: Upstream): boolean =>
    port === listenPort && (own.has(host) || host.startsWith("127.") || host === "::1" || host === "0.0.0.0" || host === "::");
  return upstreams.filter((upstream) => !isSelf(upstream));
}
