// What the proxy needs to know of its own Node.
import type { Node } from "kubernetes-types/core/v1";
import type { Informer } from "#client";
import { type Addr, formatAddr, type Prefix, tryParseAddr, tryParsePrefix } from "#ip";
import type { ProxyNode } from "./types.ts";

const ZONE = "topology.kubernetes.io/zone";

export interface NodeWatch {
  readonly nodes: Informer<Node>;
  /** As it is known now. */
  readonly node: ProxyNode;
  /** Whether the Node's addresses are the ones to use; otherwise those of `node` stay. */
  readonly followAddresses: boolean;
  /** Its zone or its addresses are others. */
  readonly onChange: (node: ProxyNode) => void;
  /** It has got Pod CIDRs, or others. */
  readonly onPodCidrs: (podCidrs: readonly Prefix[]) => void;
  /** Every state of the object. */
  readonly onObject: (node: Node) => void;
}

/** Losing the Node, or the way to it, keeps the last state. */
export function watchNode({ nodes, node, followAddresses, onChange, onPodCidrs, onObject }: NodeWatch): void {
  let known = node;
  let knownCidrs = "";
  nodes.subscribe((change) => {
    if (change.type !== "set" || change.key !== node.name) return;
    onObject(change.object);
    const podCidrs = podCidrsOf(change.object);
    if (podCidrs.length > 0 && podCidrs.join() !== knownCidrs) {
      knownCidrs = podCidrs.join();
      onPodCidrs(podCidrs.flatMap((cidr) => tryParsePrefix(cidr) ?? []));
    }
    const addresses = followAddresses ? primaryAddresses(change.object) : [];
    const zone = change.object.metadata.labels?.[ZONE];
    const next: ProxyNode = {
      name: node.name,
      // A Node that its kubelet or cloud controller has not reported on yet.
      addresses: addresses.length === 0 ? known.addresses : addresses,
      ...(zone !== undefined && { zone }),
    };
    if (text(next) === text(known)) return;
    known = next;
    onChange(next);
  });
}

function podCidrsOf({ spec }: Node): readonly string[] {
  return spec?.podCIDRs ?? (spec?.podCIDR === undefined ? [] : [spec.podCIDR]);
}

/** The first of each family, InternalIP before ExternalIP, as kube-proxy chooses (k/k pkg/util/node, GetNodeHostIPs). */
export function primaryAddresses(node: Node): Addr[] {
  const of = (type: string): Addr[] =>
    (node.status?.addresses ?? []).flatMap((one) => (one.type === type ? (tryParseAddr(one.address) ?? []) : []));
  const all = [...of("InternalIP"), ...of("ExternalIP")];
  const first = all[0];
  const second = all.find(({ family }) => family !== first?.family);
  return [first, second].filter((addr) => addr !== undefined);
}

function text({ addresses, zone }: ProxyNode): string {
  return [...addresses.map(formatAddr), zone].join(" ");
}
