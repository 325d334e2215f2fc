// Makes network namespaces of what the model walks over.

import { type NetNs, netns, openRoute, type RouteSocket } from "#linux";
import type { Namespace, NetworkState } from "#model";

/** Of the older end of a pair of links: it makes both. */
type Done = Set<string>;

/** `own`: the name of the namespace that is this process's own. */
export function makeNetwork({ namespaces }: NetworkState, own: string): Map<string, NetNs> {
  const made = new Map<string, { readonly ns: NetNs; readonly route: RouteSocket }>();
  for (const { name } of namespaces) {
    const ns = name === own ? netns.current() : netns.createAnonymous();
    // An address answers at once, and not after the second in which others may object to it.
    for (const which of ["all", "default"]) ns.setSysctl(`net.ipv6.conf.${which}.accept_dad`, 0);
    made.set(name, { ns, route: openRoute(ns) });
  }
  const at = (name: string): { readonly ns: NetNs; readonly route: RouteSocket } => {
    const found = made.get(name);
    if (found === undefined) throw new Error(`there is no namespace ${name}`);
    return found;
  };
  const done: Done = new Set();
  for (const namespace of namespaces) addLinks(namespace, at, done);
  for (const namespace of namespaces) {
    const { ns, route } = at(namespace.name);
    for (const { name, master, mac } of namespace.links) {
      route.links.change(name, { up: true, ...(mac && { mac }), ...(master !== undefined && { master }) });
    }
    for (const addr of namespace.addrs) route.addrs.set(addr);
    for (const { dst, nextHops } of namespace.routes) {
      const isOnLink = nextHops.every(({ via }) => via === undefined);
      route.routes.set({
        dst,
        nextHops: nextHops.map(({ via, link }) => ({ ...(via && { via }), ...(link && { link }) })),
        ...(isOnLink && { scope: "link" }),
      });
    }
    for (const neigh of namespace.neighs ?? []) route.neighs.set(neigh);
    for (const [name, value] of Object.entries(namespace.sysctls ?? {})) ns.setSysctl(name, value);
    route.close();
  }
  return new Map([...made].map(([name, { ns }]) => [name, ns]));
}

function addLinks(
  { name: here, links }: Namespace,
  at: (name: string) => { readonly ns: NetNs; readonly route: RouteSocket },
  done: Done,
): void {
  for (const { name, type } of links) {
    if (type.kind === "bridge") at(here).route.links.add({ name, type: { kind: "bridge" } });
    if (type.kind !== "veth" || done.has(`${here} ${name}`)) continue;
    const { namespace, link } = type.peer;
    at(here).route.links.add({ name, type: { kind: "veth", peer: { name: link, netns: at(namespace).ns } } });
    done.add(`${namespace} ${link}`);
  }
}
