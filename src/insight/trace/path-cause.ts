// What is wrong on the way, where no rule and no socket is: routes, neighbours, links, sizes, settings. Each with the fact that shows it. Pure.
import { formatAddr, formatMac, formatPrefix, prefixContains } from "#ip";
import type * as model from "#model";
import { formatPacketOf } from "./text.ts";
import type { Cause, Ending, Scene } from "./types.ts";

function namespaceIn({ state }: Scene, name: string): model.Namespace | undefined {
  return state.namespaces.find((one) => one.name === name);
}

export function noRoute(scene: Scene, ending: Ending): Cause {
  const { namespace, packet } = ending;
  const own = namespaceIn(scene, namespace);
  const covering = (own?.routes ?? []).filter(({ dst }) => dst.addr.family === packet.dst.family && prefixContains(dst, packet.dst));
  const facts =
    covering.length === 0
      ? [`none of the ${own?.routes.length ?? 0} routes of ${namespace} covers ${formatAddr(packet.dst)}`]
      : covering.map(routeText);
  const down = (own?.links ?? []).filter(({ up, name }) => !up && name !== "lo").map(({ name }) => name);
  const told = down.map((name) => `link ${name} is down`);
  const sentence = `${namespace} has no route to ${formatAddr(packet.dst)}`;
  // The kernel forgets the routes of a link that goes down.
  const wouldLead = (own?.addrs ?? []).some(({ link, prefix }) => down.includes(link) && prefixContains(prefix, packet.dst));
  return told.length > 0 && (wouldLead || covering.length > 0)
    ? { code: "link down", sentence: `${sentence}: ${told.join(", ")}`, facts: [...facts, ...told] }
    : { code: "no route", sentence, facts: [...facts, ...told] };
}

function routeText({ dst, type, nextHops }: model.Route): string {
  const via = nextHops.map(
    (hop) => `${hop.via === undefined ? "" : ` via ${formatAddr(hop.via)}`}${hop.link === undefined ? "" : ` dev ${hop.link}`}`,
  );
  return `route ${type === undefined || type === "unicast" ? "" : `${type} `}${formatPrefix(dst)}${via.join(",")}`;
}

export function noNeighbour(scene: Scene, { namespace, packet, link }: Ending): Cause {
  const own = namespaceIn(scene, namespace);
  const known = (own?.neighs ?? []).filter((one) => link === undefined || one.link === link);
  const facts = known
    .filter(({ addr }) => addr.family === packet.dst.family)
    .slice(0, 8)
    .map(
      ({ addr, mac, state }) =>
        `neighbour ${formatAddr(addr)} at ${link ?? "?"}: ${mac === undefined ? "no MAC" : formatMac(mac)}, ${state ?? "valid"}`,
    );
  const sentence = `nobody on link ${link ?? "?"} of ${namespace} says that it has the next hop to ${formatAddr(packet.dst)}`;
  return { code: "no neighbour", sentence, facts: [...facts, ...downPorts(scene, namespace, link)] };
}

/** A neighbour cannot answer over a link that is down. */
function downPorts(scene: Scene, namespace: string, link: string | undefined): string[] {
  const links = namespaceIn(scene, namespace)?.links ?? [];
  return links
    .filter(({ master, up }) => master === link && link !== undefined && !up)
    .map(({ name }) => `port ${name} of ${link} is down`);
}

/** A bridge or vxlan link that does not know where a MAC is; or it leads to somebody else. */
export function noFdb(scene: Scene, { namespace, packet, link }: Ending): Cause {
  const own = namespaceIn(scene, namespace);
  const vxlan = own?.links.find(({ name, type }) => type.kind === "vxlan" && (link === undefined || name === link));
  const at = vxlan?.name ?? link ?? "?";
  const entries = (own?.fdb ?? []).filter((one) => one.link === at);
  const facts = entries
    .slice(0, 8)
    .map(({ mac, dst }) => `FDB of ${at}: ${formatMac(mac)}${dst === undefined ? "" : ` at ${formatAddr(dst)}`}`);
  const told = entries.length === 0 ? [`the FDB of ${at} is empty`] : facts;
  const sentence = `link ${at} of ${namespace} has no FDB entry for the next hop to ${formatAddr(packet.dst)}: it does not know to which node`;
  return { code: "no FDB entry", sentence, facts: told };
}

export function mtu(scene: Scene, { namespace, packet, link }: Ending): Cause {
  const own = namespaceIn(scene, namespace);
  // It may have been lost where it came in: then the link is the other end's.
  const found =
    own?.links.find(({ name }) => name === link) ?? own?.links.find(({ type }) => type.kind === "veth" && type.peer.link === link);
  const sizes = scene.state.namespaces
    .filter(({ name }) => name === namespace || name === scene.ask.from.namespace)
    .flatMap(({ name, links }) => links.filter((one) => one.name !== "lo").map((one) => `${name} ${one.name}: MTU ${one.mtu ?? 1500}`));
  const limit = found?.mtu === undefined ? "" : ` (MTU ${found.mtu})`;
  const sentence = `packets of ${packet.length} bytes are lost at link ${found?.name ?? link ?? "?"}${limit} of ${namespace}; smaller ones pass`;
  return { code: "mtu", sentence, facts: [formatPacketOf(packet), ...sizes.slice(0, 10)] };
}

export function ttl(_: Scene, { namespace }: Ending): Cause {
  return { code: "ttl", sentence: `its time to live ends in ${namespace}: it goes in circles, or was sent with too little`, facts: [] };
}

export function rpFilter(scene: Scene, { namespace, packet, link }: Ending): Cause {
  const facts = sysctlFacts(scene, namespace, /\/rp_filter$/, link);
  const sentence = `${namespace} drops it by rp_filter: ${formatAddr(packet.src)} came in over ${link ?? "a link"}, and the route back to it is another one`;
  return { code: "rp_filter", sentence, facts };
}

export function martian(scene: Scene, { namespace, packet, link }: Ending): Cause {
  const own = namespaceIn(scene, namespace)?.addrs.some(({ prefix }) => formatAddr(prefix.addr) === formatAddr(packet.src)) === true;
  const facts = [`came in over ${link ?? "?"}`, ...(own ? [`${formatAddr(packet.src)} is an address of ${namespace} itself`] : [])];
  return { code: "martian", sentence: `${namespace} takes no packet from ${formatAddr(packet.src)} there (martian source)`, facts };
}

export function notForwarding(scene: Scene, { namespace, packet, link }: Ending): Cause {
  const pattern = packet.dst.family === 4 ? /ip_forward$|\/forwarding$/ : /ipv6\/conf\/all\/forwarding$/;
  const facts = sysctlFacts(scene, namespace, pattern, link);
  return { code: "not forwarding", sentence: `${namespace} does not forward IPv${packet.dst.family} packets`, facts };
}

function sysctlFacts(scene: Scene, namespace: string, pattern: RegExp, link: string | undefined): string[] {
  const all = Object.entries(namespaceIn(scene, namespace)?.sysctls ?? {}).filter(([name]) => pattern.test(name));
  const isRelevant = (name: string): boolean => !name.includes("/conf/") || [link, "all"].some((one) => name.includes(`/conf/${one}/`));
  return all.filter(([name]) => isRelevant(name)).map(([name, value]) => `${name} is ${value}`);
}

export function linkDown(scene: Scene, { namespace, link }: Ending): Cause {
  const down = scene.state.namespaces
    .filter(({ name }) => name === namespace)
    .flatMap(({ links }) => links.filter(({ up, name }) => !up && name !== "lo").map(({ name }) => name));
  const which = down.includes(link ?? "") ? (link ?? "") : (down[0] ?? link ?? "?");
  const facts = scene.state.namespaces.flatMap(({ name, links }) =>
    links.filter((one) => !one.up && one.name !== "lo").map((one) => `${name}: link ${one.name} is down`),
  );
  return { code: "link down", sentence: `link ${which} of ${namespace} is down, or its other end is`, facts };
}

export function conntrackFull({ reports }: Scene, { namespace }: Ending): Cause {
  const observed = reports.flatMap(({ namespaces }) => namespaces).findLast(({ state }) => state.name === namespace);
  const { count = 0, max = 0 } = observed?.conntrack ?? {};
  return {
    code: "conntrack full",
    sentence: `the connection table of ${namespace} is full, and new connections are dropped`,
    facts: [`${count} connections, of at most ${max} (net/netfilter/nf_conntrack_max)`],
  };
}
