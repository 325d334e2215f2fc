// From Node objects to what a backend needs to know of them. Pure; what a Node says is input from outside and is checked here.
import type { Node } from "kubernetes-types/core/v1";
import { errorMessage } from "#base";
import { formatPrefix, type Mac, maskPrefix, type Prefix, parseMac, parsePrefix, prefixContains } from "#ip";
import { internalAddrsOf, type Stored } from "#kube";
import { VTEP_MAC_ANNOTATION } from "./names.ts";
import type { OverlayProblem, PeerNode } from "./types.ts";

/** `spec.podCIDRs`, or the older `spec.podCIDR`; throws InputError where one is not an address block. */
export function podCidrsOf(node: Node): Prefix[] {
  const { podCIDR, podCIDRs } = node.spec ?? {};
  const texts = podCIDRs !== undefined && podCIDRs.length > 0 ? podCIDRs : [podCIDR ?? ""].filter((text) => text !== "");
  return texts.map((text, i) => maskPrefix(parsePrefix(text, `spec.podCIDRs[${i}]`)));
}

/**
 * Nodes in the order in which they were made, so that every node decides alike which of two may keep an overlapping Pod CIDR. A
 * Pod CIDR outside of the cluster's is refused: a Node object must not be able to draw other traffic to its node.
 */
export function peersOf(
  nodes: readonly Stored<Node>[],
  clusterCidrs: readonly Prefix[],
): { peers: PeerNode[]; problems: OverlayProblem[] } {
  const problems: OverlayProblem[] = [];
  const age = (node: Stored<Node>): string => `${node.metadata.creationTimestamp} ${node.metadata.name}`;
  const peers = nodes.toSorted((a, b) => (age(a) < age(b) ? -1 : 1)).flatMap((node) => peerOf(node, clusterCidrs, problems));
  return { peers, problems };
}

function peerOf(node: Stored<Node>, clusterCidrs: readonly Prefix[], problems: OverlayProblem[]): PeerNode[] {
  const { name } = node.metadata;
  try {
    const podCidrs = podCidrsOf(node).filter((podCidr) => {
      const inside =
        clusterCidrs.length === 0 || clusterCidrs.some((cidr) => cidr.bits <= podCidr.bits && prefixContains(cidr, podCidr.addr));
      if (!inside) {
        const message = `Pod CIDR ${formatPrefix(podCidr)} of node ${name} lies outside of the cluster's ${clusterCidrs.map(formatPrefix).join(", ")}`;
        problems.push({ node: name, reason: "PodCidrOutsideCluster", message });
      }
      return inside;
    });
    const { addrs, ignored } = internalAddrsOf(node);
    for (const text of ignored)
      problems.push({
        node: name,
        reason: "BadAddress",
        message: `${text} in status.addresses of node ${name} is not an IP address: ignored`,
      });
    const vtepMac = macOf(node);
    return [{ name, addrs, podCidrs, ...(vtepMac === undefined ? {} : { vtepMac }) }];
  } catch (err) {
    problems.push({ node: name, reason: "BadNode", message: `Node ${name} is left out of the overlay: ${errorMessage(err)}` });
    return [];
  }
}

function macOf(node: Stored<Node>): Mac | undefined {
  const text = node.metadata.annotations?.[VTEP_MAC_ANNOTATION];
  return text === undefined ? undefined : parseMac(text, `metadata.annotations[${VTEP_MAC_ANNOTATION}]`);
}
