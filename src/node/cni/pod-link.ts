// Makes one pod's link what its plan says, and looks whether it is.
import { FairleadError } from "#base";
import { addrEquals, formatAddr, formatMac, formatPrefix, prefixEquals } from "#ip";
import type { Link, Neigh } from "#linux";
import { type NodeKernel, setSysctls } from "./bridge.ts";
import { BRIDGE } from "./compile.ts";
import type { PodPlan } from "./types.ts";

/** The namespace of a pod and a socket in it. */
export type PodKernel = NodeKernel;

/**
 * The pair appears with its inner end in the pod's namespace under its final name, in one request: there is no half-made state in
 * which a crash leaves a link under a temporary name.
 */
export function ensurePodLink(node: NodeKernel, pod: PodKernel, plan: PodPlan): void {
  const { ifName } = plan.owner;
  if (!isPair(node.route.links.get(plan.hostLink), pod.route.links.get(ifName))) {
    // Of an earlier container's life, with the other end in a namespace that is about to go.
    node.route.links.del(plan.hostLink);
    if (pod.route.links.get(ifName) !== undefined) {
      throw new FairleadError(`the pod's namespace has a link ${ifName} already that is not ours`, {
        code: "InterfaceExists",
        op: "cni add",
      });
    }
    node.route.links.add({
      name: plan.hostLink,
      type: { kind: "veth", peer: { name: ifName, mac: plan.mac, mtu: plan.mtu, netns: pod.ns } },
      mtu: plan.mtu,
    });
  }
  attachHostLink(node, plan);
  configurePod(pod, plan);
}

/** The node's end, and what the node knows of the pod. Also what is to be done again when the bridge was made anew. */
export function attachHostLink({ ns, route }: NodeKernel, plan: PodPlan): void {
  const { hostLink } = plan;
  setSysctls(ns, plan.node.sysctls);
  route.links.change(hostLink, { master: BRIDGE });
  // Isolated ports reach the bridge's own port only, so the node routes between pods and sees their packets in its IP hooks. What
  // a pod sends as another's MAC teaches the bridge nothing.
  route.links.change(hostLink, { bridgePort: { isolated: true, learning: false } });
  route.links.change(hostLink, { up: true });
  route.fdb.set(plan.node.fdb);
  for (const neigh of plan.node.neighs) route.neighs.set(neigh);
}

function configurePod({ ns, route }: PodKernel, plan: PodPlan): void {
  const { ifName } = plan.owner;
  setSysctls(ns, plan.pod.sysctls);
  route.links.change("lo", { up: true });
  for (const addr of plan.pod.addrs) route.addrs.set(addr);
  route.links.change(ifName, { up: true });
  for (const neigh of plan.pod.neighs) route.neighs.set(neigh);
  for (const one of plan.pod.routes) route.routes.set(one);
}

function isPair(host: Link | undefined, inner: Link | undefined): boolean {
  if (host === undefined || inner === undefined) return false;
  return host.kind === "veth" && inner.kind === "veth" && host.peerIndex === inner.index && inner.peerIndex === host.index;
}

export function removePodLink({ route }: NodeKernel, hostLink: string, neighs: readonly Neigh[]): void {
  route.links.del(hostLink);
  if (neighs.length > 0 && route.links.get(BRIDGE) !== undefined) for (const neigh of neighs) route.neighs.del(neigh);
}

/** What is not as the plan says, in words; nothing when all is well. */
export function deviations(node: NodeKernel, pod: PodKernel, plan: PodPlan): string[] {
  const { links } = node.route;
  const [host, bridge] = [links.get(plan.hostLink), links.get(BRIDGE)];
  if (host === undefined) return [`the node has no link ${plan.hostLink}`];
  if (bridge === undefined) return [`the node has no bridge ${BRIDGE}`];
  const found: string[] = [];
  if (host.masterIndex !== bridge.index) found.push(`${plan.hostLink} is not a port of ${BRIDGE}`);
  if (!host.up) found.push(`${plan.hostLink} is down`);
  if (!bridge.up) found.push(`${BRIDGE} is down`);
  found.push(...missingNeighs(node, plan.node.neighs, "the node"));
  return [...found, ...podDeviations(pod, plan)];
}

function podDeviations(pod: PodKernel, plan: PodPlan): string[] {
  const { ifName } = plan.owner;
  const inner = pod.route.links.get(ifName);
  if (inner === undefined) return [`the pod has no link ${ifName}`];
  const found: string[] = [];
  if (!inner.up) found.push(`${ifName} is down`);
  if (inner.mac === undefined || formatMac(inner.mac) !== formatMac(plan.mac))
    found.push(`${ifName} has not the MAC ${formatMac(plan.mac)}`);
  const addrs = pod.route.addrs.list(ifName);
  for (const { prefix } of plan.pod.addrs) {
    if (!addrs.some((addr) => prefixEquals(addr.prefix, prefix))) found.push(`${ifName} has not the address ${formatPrefix(prefix)}`);
  }
  const routes = pod.route.routes.list();
  for (const { dst, nextHops } of plan.pod.routes) {
    const via = nextHops[0]?.via;
    const there = routes.some(
      (one) =>
        prefixEquals(one.dst, dst) && one.nextHops.some((hop) => hop.via !== undefined && via !== undefined && addrEquals(hop.via, via)),
    );
    if (!there && via !== undefined) found.push(`the pod has no route ${formatPrefix(dst)} via ${formatAddr(via)}`);
  }
  return [...found, ...missingNeighs(pod, plan.pod.neighs, "the pod")];
}

function missingNeighs({ route }: NodeKernel, wanted: readonly Neigh[], where: string): string[] {
  return wanted.flatMap((want) => {
    const there = route.neighs
      .list(want.link)
      .some(
        (one) =>
          addrEquals(one.addr, want.addr) && one.mac !== undefined && want.mac !== undefined && formatMac(one.mac) === formatMac(want.mac),
      );
    return there ? [] : [`${where} does not know the MAC of ${formatAddr(want.addr)}`];
  });
}
