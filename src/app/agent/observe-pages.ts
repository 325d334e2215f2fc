// The node's debug pages that show what its kernel holds and what packets do. What is behind them is loaded when somebody asks.
import type { KubeletOptions } from "#kubelet";
import { type NetNs, netns } from "#linux";
import type { ObserverPages, OpenNamespace, OpenPlace } from "#observe";
import type { PodSandboxStatus, RuntimeService } from "#runtime";
import { settleMemory } from "../settle.ts";

/** What was loaded and made for an answer is given back then. */
const SETTLE_MS = 5_000;

/** `network`, `probe` and `packets`. */
export function observePages(node: string, own: NetNs, runtime: RuntimeService): NonNullable<KubeletOptions["debugPages"]> {
  let loaded: Promise<ObserverPages> | undefined;
  const pages = (): Promise<ObserverPages> => {
    loaded ??= import("#observe").then(({ observerPages }) => observerPages({ node, open: () => openNode(node, own, runtime) }));
    return loaded;
  };
  let settling: NodeJS.Timeout | undefined;
  const used = (): Promise<ObserverPages> => {
    if (settling === undefined) settleMemory(SETTLE_MS);
    settling ??= setTimeout(() => (settling = undefined), SETTLE_MS).unref();
    return pages();
  };
  return {
    network: async ({ query }) => (await used()).network(query),
    probe: async ({ body, signal }) => (await used()).probe(body, signal),
    packets: async ({ body, signal }) => (await used()).packets(body, signal),
  };
}

async function openNode(node: string, own: NetNs, runtime: RuntimeService): Promise<OpenPlace> {
  const sandboxes = await runtime.listPodSandbox({ state: "ready" });
  const pods = sandboxes.flatMap(openPod);
  return {
    namespaces: [{ role: "node", name: node, ns: own }, ...pods],
    inNodeNetwork: sandboxes.filter(({ netnsPath }) => netnsPath === undefined).map(nameOf),
    close() {
      for (const { ns } of pods) ns.close();
    },
  };
}

const nameOf = ({ metadata }: PodSandboxStatus): string => `${metadata.namespace}/${metadata.name}`;

function openPod(sandbox: PodSandboxStatus): OpenNamespace[] {
  const { id, netnsPath, metadata } = sandbox;
  if (netnsPath === undefined) return [];
  const { namespace, name, uid } = metadata;
  try {
    return [{ role: "pod", name: nameOf(sandbox), ns: netns.open(netnsPath), pod: { namespace, name, uid, sandboxId: id } }];
  } catch {
    // It ends at this moment.
    return [];
  }
}
