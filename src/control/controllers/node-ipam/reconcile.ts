import type { Node } from "kubernetes-types/core/v1";
import { formatPrefix, type Prefix, tryParsePrefix } from "#ip";
import { NODES, type Stored } from "#kube";
import { type ControllerContext, startQueue, whenSynced } from "../context.ts";
import { allocateBlocks, type Pool, preferredIndex } from "./compute.ts";

/** Gives each node its Pod CIDRs, once and for all: `spec.podCIDRs` cannot be changed. */
export async function startNodeIpam(context: ControllerContext, pools: readonly Pool[]): Promise<void> {
  const { nodes } = context.informers;
  const recorder = context.recorder("cidrAllocator");
  /** What we gave and the copy does not show yet. */
  const given = new Map<string, readonly Prefix[]>();
  const unserved = new Set<string>();
  await whenSynced([nodes]);

  async function sync(name: string): Promise<undefined> {
    const node = nodes.get(name);
    unserved.delete(name);
    if (node === undefined || node.metadata.deletionTimestamp !== undefined || given.has(name) || podCidrs(node).length > 0) return;
    const taken = [...nodes.list().flatMap(podCidrs), ...[...given.values()].flat()];
    const blocks = allocateBlocks(pools, taken, preferredIndex(name));
    if (blocks === undefined) {
      unserved.add(name);
      const message = `Node ${name} status is now: CIDRNotAvailable`;
      recorder.event(node, { type: "Normal", reason: "CIDRNotAvailable", message });
      context.logger.warn("no Pod CIDR is left for a node", { node: name });
      return;
    }
    await give(node, blocks);
  }

  async function give(node: Stored<Node>, blocks: readonly Prefix[]): Promise<void> {
    const { name, uid } = node.metadata;
    const podCIDRs = blocks.map(formatPrefix);
    given.set(name, blocks);
    try {
      await context.client.patch(NODES, { name }, { type: "merge", body: { metadata: { uid }, spec: { podCIDR: podCIDRs[0], podCIDRs } } });
      context.logger.info("node has its Pod CIDRs", { node: name, podCIDRs });
    } catch (err) {
      given.delete(name);
      throw err;
    }
  }

  // One at a time: two nodes must never be given the same block.
  const queue = startQueue(context, { name: "node-ipam", run: sync, concurrency: 1 });
  nodes.subscribe((change) => {
    if (change.type === "delete" || podCidrs(change.object).length > 0) given.delete(change.key);
    queue.add(change.key);
    if (change.type === "delete") for (const name of unserved) queue.add(name);
  });
}

function podCidrs(node: Node): Prefix[] {
  const texts = node.spec?.podCIDRs ?? (node.spec?.podCIDR === undefined ? [] : [node.spec.podCIDR]);
  return texts.map((text) => tryParsePrefix(text)).filter((prefix) => prefix !== undefined);
}
