// Namespaces in a few words, for tests.
import { parseAddr, parsePrefix } from "#ip";
import type { Link, LinkAddr, Namespace, Route } from "../state.ts";

const LO: Link = { name: "lo", type: { kind: "loopback" }, up: true };

/** A veth end: `veth("eth0", "node", "veth-a")`. */
export function veth(name: string, namespace: string, link: string, more: Partial<Link> = {}): Link {
  return { name, type: { kind: "veth", peer: { namespace, link } }, up: true, ...more };
}

/** `10.0.0.1/24 dev eth0` */
export function addr(text: string): LinkAddr {
  const [, prefix = "", link = ""] = /^(\S+) dev (\S+)$/.exec(text) ?? [];
  return { link, prefix: parsePrefix(prefix) };
}

/** `10.0.0.0/24 via 10.1.0.1 dev eth0`; `default` needs `via`; `unreachable 10.0.0.0/24`. */
export function route(text: string, more: Partial<Route> = {}): Route {
  const [, type, dst = "", via, link] = /^(?:(unreachable|blackhole|prohibit) )?(\S+)(?: via (\S+))?(?: dev (\S+))?$/.exec(text) ?? [];
  const everywhere = via?.includes(":") === true ? "::/0" : "0.0.0.0/0";
  const hop = { ...(via !== undefined && { via: parseAddr(via) }), ...(link !== undefined && { link }) };
  const nextHops = type === undefined ? [hop] : [];
  return {
    dst: parsePrefix(dst === "default" ? everywhere : dst),
    nextHops,
    ...(type === "unreachable" || type === "blackhole" || type === "prohibit" ? { type } : {}),
    ...more,
  };
}

export function namespace(name: string, parts: Partial<Namespace>): Namespace {
  return { name, addrs: [], routes: [], ...parts, links: [LO, ...(parts.links ?? [])] };
}

export const FORWARDING: Readonly<Record<string, number>> = { "net/ipv4/ip_forward": 1, "net/ipv6/conf/all/forwarding": 1 };

/** client 10.0.1.2 ── 10.0.1.1 router 10.0.2.1 ── 10.0.2.2 server, and the same with fd00:1:: and fd00:2::. */
export function clientRouterServer(
  parts: { readonly client?: Partial<Namespace>; readonly router?: Partial<Namespace>; readonly server?: Partial<Namespace> } = {},
): Namespace[] {
  const end = (name: string, n: number, more: Partial<Namespace> = {}): Namespace =>
    namespace(name, {
      links: [veth("eth0", "router", name)],
      addrs: [addr(`10.0.${n}.2/24 dev eth0`), addr(`fd00:${n}::2/64 dev eth0`)],
      routes: [route(`default via 10.0.${n}.1 dev eth0`), route(`default via fd00:${n}::1 dev eth0`)],
      ...more,
    });
  const router = namespace("router", {
    links: [veth("client", "client", "eth0"), veth("server", "server", "eth0")],
    addrs: ["client", "server"].flatMap((link, i) => [addr(`10.0.${i + 1}.1/24 dev ${link}`), addr(`fd00:${i + 1}::1/64 dev ${link}`)]),
    sysctls: FORWARDING,
    ...parts.router,
  });
  return [end("client", 1, parts.client), router, end("server", 2, parts.server)];
}
