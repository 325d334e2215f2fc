// What a node holds beside what it should: the same names on both sides. Pure.
import { addrEquals, formatAddr, formatMac, formatPrefix, maskPrefix } from "#ip";
import type * as model from "#model";
import type { ObservedNamespace } from "#observe";
import type { Facts } from "./types.ts";

/** The uplink's name in what is desired. */
const UPLINK = "eth0";

export interface NodePair {
  readonly node: string;
  readonly found: ObservedNamespace;
  /** With the links' names as they are on the node. */
  readonly desired: model.Namespace;
}

export interface PodPair {
  readonly key: string;
  readonly node: string;
  /** Undefined: the node tells of no such pod. */
  readonly found: ObservedNamespace | undefined;
  readonly desired: model.Namespace;
}

/** Nodes that answered and of which it is known what they should hold. */
export function nodePairs(facts: Facts): NodePair[] {
  return facts.answers.flatMap(({ node, report }) => {
    const found = report?.namespaces.find(({ role }) => role === "node");
    const desired = facts.desired.namespaces.find(({ name }) => name === node);
    return report === undefined || found === undefined || desired === undefined
      ? []
      : [{ node, found, desired: renamed(desired, linkNames(desired, found, report.namespaces)) }];
  });
}

/** Pods of nodes that answered. */
export function podPairs(facts: Facts): PodPair[] {
  const desired = new Map(facts.desired.namespaces.map((one) => [one.name, one]));
  return facts.objects.pods.flatMap(({ metadata, spec }) => {
    const key = `${metadata.namespace}/${metadata.name}`;
    const wanted = desired.get(key);
    const report = facts.answers.find(({ node }) => node === spec?.nodeName)?.report;
    if (wanted === undefined || report === undefined) return [];
    return [{ key, node: report.node, found: report.namespaces.find(({ state }) => state.name === key), desired: wanted }];
  });
}

/** Pods' links have the sandbox's name in theirs, which the API does not know; the uplink is whichever has the node's address. */
function linkNames(desired: model.Namespace, found: ObservedNamespace, all: readonly ObservedNamespace[]): ReadonlyMap<string, string> {
  const names = new Map<string, string>();
  for (const { name, type } of desired.links) {
    if (type.kind !== "veth") continue;
    const pod = all.find(({ state }) => state.name === type.peer.namespace);
    const own = pod === undefined ? undefined : hostEnd(found, pod, type.peer.link);
    if (own !== undefined) names.set(name, own);
  }
  const addr = desired.addrs.find(({ link }) => link === UPLINK)?.prefix.addr;
  const uplink = addr && found.state.addrs.find(({ prefix }) => addrEquals(prefix.addr, addr))?.link;
  if (uplink !== undefined) names.set(UPLINK, uplink);
  return names;
}

/** The node's end of the pod's link. */
export function hostEnd(node: ObservedNamespace, pod: ObservedNamespace, podLink: string): string | undefined {
  const end = pod.ends.find(({ link }) => link === podLink);
  return node.ends.find(
    ({ index, peerIndex, peerInode }) => index === end?.peerIndex && peerIndex === end.index && (peerInode ?? pod.inode) === pod.inode,
  )?.link;
}

function renamed(namespace: model.Namespace, names: ReadonlyMap<string, string>): model.Namespace {
  const own = <T extends { readonly link: string }>(value: T): T => ({ ...value, link: names.get(value.link) ?? value.link });
  return {
    ...namespace,
    links: namespace.links.map((link) => ({ ...link, name: names.get(link.name) ?? link.name })),
    addrs: namespace.addrs.map(own),
    neighs: (namespace.neighs ?? []).map(own),
    fdb: (namespace.fdb ?? []).map(own),
    routes: namespace.routes.map((route) => ({
      ...route,
      nextHops: route.nextHops.map((hop) => (hop.link === undefined ? hop : { ...hop, link: names.get(hop.link) ?? hop.link })),
    })),
  };
}

export function routeText({ dst, nextHops, type }: model.Route): string {
  const hops = nextHops.map(({ via, link }) => [via && `via ${formatAddr(via)}`, link && `dev ${link}`].filter(Boolean).join(" "));
  const kind = type === undefined || type === "unicast" ? "" : `${type} `;
  return `${kind}${formatPrefix(maskPrefix(dst))} ${hops.toSorted().join(" ")}`.trim();
}

export function neighText({ link, addr, mac }: model.Neigh): string {
  return `${formatAddr(addr)} lladdr ${mac === undefined ? "?" : formatMac(mac)} dev ${link}`;
}

export function fdbText({ link, mac, dst }: model.Fdb): string {
  return `${formatMac(mac)} dev ${link}${dst === undefined ? "" : ` dst ${formatAddr(dst)}`}`;
}

export function addrText({ link, prefix }: model.LinkAddr): string {
  return `${formatPrefix(prefix)} dev ${link}`;
}

/** Those of `wanted` that are not in `found`, by their text. */
export function missingOf<T>(wanted: readonly T[], found: readonly T[], text: (one: T) => string): string[] {
  const there = new Set(found.map(text));
  return wanted.map(text).filter((one) => !there.has(one));
}
