// Brings up the network of a node once it is known which Pod CIDRs the node has: addresses, pod links, overlay.
import type { Node } from "kubernetes-types/core/v1";
import { errorMessage, type Logger } from "#base";
import type { Client, EventRecorder, Informer } from "#client";
import { createPodNetwork, type PodNetwork as PodLinks } from "#cni";
import { formatAddr, formatPrefix, type Prefix } from "#ip";
import { openIpam } from "#ipam";
import { type NetNs, openRoute } from "#linux";
import { podCidrsOf, podMtu, startOverlay } from "#overlay";
import type { PodNetwork, PodNetworkRequest, RuntimeService } from "#runtime";
import type { AgentFlags } from "./flags.ts";

export interface NodeNetworkOptions {
  readonly flags: Pick<AgentFlags, "nodeName" | "nodeAddrs" | "nodeRoot" | "overlay" | "clusterCidrs">;
  readonly ns: NetNs;
  readonly client: Client;
  readonly nodes: Informer<Node>;
  readonly events: EventRecorder;
  readonly logger: Logger;
  /** Called when the node has got other Pod CIDRs than those that its network was made for. */
  readonly onPodCidrsChanged: () => void;
}

export interface NodeNetwork {
  /** For the runtime; a pod that comes before the node has its Pod CIDRs waits for them. */
  readonly pods: PodNetwork;
  /** Gives back the links and addresses of pods that are gone, and lets pods in. To be called once, with what the runtime has found. */
  open(runtime: Pick<RuntimeService, "listPodSandbox">): Promise<void>;
  /** Resolves when pods can be connected and other nodes are reached. */
  readonly ready: Promise<void>;
  stop(): void;
}

const IF_NAME = "eth0";

export function startNodeNetwork(options: NodeNetworkOptions): NodeNetwork {
  const { flags, logger, ns } = options;
  const route = openRoute(ns);
  const overlay = startOverlay({
    ...options,
    backend: flags.overlay,
    nodeName: flags.nodeName,
    nodeAddrs: flags.nodeAddrs,
    clusterCidrs: flags.clusterCidrs,
    route,
    logger: logger.child({ room: "overlay" }),
  });
  const links = firstPodCidrs(options).then((podCidrs) => {
    logger.info("Pod CIDRs", { podCidrs: podCidrs.map(formatPrefix) });
    const room = logger.child({ room: "cni" });
    const ipam = openIpam({ dir: `${flags.nodeRoot}/ipam`, podCidrs, logger: room });
    const mtu = (): number => podMtu({ backend: flags.overlay, nodeAddrs: flags.nodeAddrs, ns, route });
    return createPodNetwork({ node: { ns, route }, openRoute, ipam, mtu, logger: room });
  });
  const opened = Promise.withResolvers<PodLinks>();
  return {
    pods: podNetwork(opened.promise, logger.child({ room: "cni" })),
    async open(runtime) {
      const network = await links;
      const sandboxes = await runtime.listPodSandbox();
      network.gc(sandboxes.filter(({ state }) => state === "ready").map(({ id }) => ({ containerId: id, ifName: IF_NAME })));
      opened.resolve(network);
    },
    ready: Promise.all([opened.promise, overlay.ready]).then(() => undefined),
    stop() {
      overlay.stop();
      void links.then((network) => network.stop());
    },
  };
}

/** Resolves with the first ones that the node gets; tells of others that come later. */
function firstPodCidrs({ flags, logger, nodes, onPodCidrsChanged }: NodeNetworkOptions): Promise<Prefix[]> {
  const { promise, resolve } = Promise.withResolvers<Prefix[]>();
  let known: string | undefined;
  nodes.subscribe((change) => {
    if (change.type !== "set" || change.key !== flags.nodeName) return;
    try {
      const podCidrs = podCidrsOf(change.object);
      const text = podCidrs.map(formatPrefix).join(",");
      if (text === "") return;
      if (known !== undefined && known !== text) onPodCidrsChanged();
      known ??= text;
      resolve(podCidrs);
    } catch (err) {
      logger.error("This node has Pod CIDRs that cannot be used", { error: errorMessage(err) });
    }
  });
  return promise;
}

function podNetwork(links: Promise<PodLinks>, logger: Logger): PodNetwork {
  const owner = (request: Pick<PodNetworkRequest, "sandboxId">): { containerId: string; ifName: string } => ({
    containerId: request.sandboxId,
    ifName: IF_NAME,
  });
  return {
    async add(request) {
      const network = await links;
      network.add({ ...owner(request), netns: request.netns });
      const hostPorts = request.portMappings.filter(({ hostPort }) => hostPort > 0).map(({ hostPort }) => hostPort);
      if (hostPorts.length > 0) {
        const pod = `${request.namespace}/${request.name}`;
        logger.warn("hostPort is not implemented; use a Service of type NodePort", { pod, hostPorts });
      }
      return { ips: network.addrs(owner(request)).map(formatAddr) };
    },
    async del(request) {
      const network = await links;
      network.del(owner(request));
    },
  };
}
