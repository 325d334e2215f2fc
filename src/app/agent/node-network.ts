// Brings up the network of a node once it is known which Pod CIDRs the node has: addresses, pod links, overlay.
import type { Node } from "kubernetes-types/core/v1";
import { errorMessage, type Logger, type Metric } from "#base";
import type { Client, EventRecorder, Informer } from "#client";
import { BRIDGE, createPodNetwork, type PodNetwork as PodLinks } from "#cni";
import { formatAddr, formatPrefix, type Prefix, parseAddr } from "#ip";
import { type Ipam, openIpam } from "#ipam";
import type { KubeletOptions } from "#kubelet";
import { type NetNs, openConntrack, openNft, openRoute, watchPacketLog } from "#linux";
import { overlayMetrics, podCidrsOf, podMtu, startMasquerade, startOverlay } from "#overlay";
import { type LocalPod, type Policies, policyMetrics, startPolicies } from "#policy";
import { createHostPorts, type HostPorts, type PodPorts, portmapMetrics } from "#portmap";
import type { PodNetwork, PodNetworkRequest, PodSandboxStatus, RuntimeService } from "#runtime";
import type { AgentFlags } from "./flags.ts";

export interface NodeNetworkOptions {
  readonly flags: Pick<AgentFlags, "nodeName" | "nodeAddrs" | "nodeRoot" | "overlay" | "clusterCidrs" | "policyEstablished">;
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
  metrics(): Metric[];
  /** `drops`, see `Policies`; `leases`: which address is held for which sandbox. */
  readonly debugPages: NonNullable<KubeletOptions["debugPages"]>;
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
  let ipam: Ipam | undefined;
  const links = firstPodCidrs(options).then((podCidrs) => {
    logger.info("Pod CIDRs", { podCidrs: podCidrs.map(formatPrefix) });
    const room = logger.child({ room: "cni" });
    ipam = openIpam({ dir: `${flags.nodeRoot}/ipam`, podCidrs, logger: room });
    const mtu = (): number => podMtu({ backend: flags.overlay, nodeAddrs: flags.nodeAddrs, ns, route });
    return createPodNetwork({ node: { ns, route }, openRoute, ipam, mtu, logger: room });
  });
  const nft = openNft(ns);
  const conntrack = openConntrack(ns);
  const masquerade = startMasquerade({ nft, podCidrs: flags.clusterCidrs, logger: logger.child({ room: "overlay" }) });
  const hostPorts = createHostPorts({ ns, route, nft, conntrack, podLink: BRIDGE, logger: logger.child({ room: "portmap" }) });
  const policies = startPolicies({
    client: options.client,
    nodeName: flags.nodeName,
    nft,
    openLog: (log, listener) => watchPacketLog(ns, log, listener),
    established: flags.policyEstablished,
    logger: logger.child({ room: "policy" }),
  });
  const opened = Promise.withResolvers<PodLinks>();
  return {
    pods: podNetwork(opened.promise, hostPorts, policies),
    async open(runtime) {
      const network = await links;
      const sandboxes = (await runtime.listPodSandbox()).filter(({ state }) => state === "ready");
      // Ports go before the addresses that they lead to.
      hostPorts.open(sandboxes.toSorted((a, b) => a.createdAtMs - b.createdAtMs).map(portsOf));
      policies.open(sandboxes.map(localPodOf));
      network.gc(sandboxes.map(({ id }) => ({ containerId: id, ifName: IF_NAME })));
      opened.resolve(network);
    },
    ready: Promise.all([opened.promise, overlay.ready, masquerade.ready, policies.ready]).then(() => undefined),
    metrics: () => [
      ...overlayMetrics(overlay.metrics, flags.overlay.name),
      ...portmapMetrics(hostPorts.metrics),
      ...policyMetrics(policies.metrics),
    ],
    debugPages: debugPages(policies, () => ipam?.list() ?? []),
    stop() {
      overlay.stop();
      masquerade.stop();
      hostPorts.stop();
      policies.stop();
      void links.then((network) => network.stop());
    },
  };
}

function debugPages(policies: Policies, leases: Ipam["list"]): NodeNetwork["debugPages"] {
  return {
    drops: async ({ signal }) => policies.drops(signal),
    leases: async () => leases().map(({ addr, owner }) => ({ addr: formatAddr(addr), containerId: owner.containerId })),
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

function portsOf({ id, ips, metadata, portMappings = [] }: PodSandboxStatus): PodPorts {
  const pod = `${metadata.namespace}/${metadata.name}`;
  return { containerId: id, pod, addrs: ips.map((ip) => parseAddr(ip)), mappings: portMappings };
}

function localPodOf({ id, ips, metadata: { namespace, name, uid } }: PodSandboxStatus): LocalPod {
  return { containerId: id, namespace, name, uid, addrs: ips.map((ip) => parseAddr(ip)) };
}

function podNetwork(links: Promise<PodLinks>, hostPorts: HostPorts, policies: Policies): PodNetwork {
  const owner = (request: Pick<PodNetworkRequest, "sandboxId">): { containerId: string; ifName: string } => ({
    containerId: request.sandboxId,
    ifName: IF_NAME,
  });
  return {
    async add(request) {
      const network = await links;
      network.add({ ...owner(request), netns: request.netns });
      const addrs = network.addrs(owner(request));
      const { namespace, name, podUid: uid, portMappings: mappings } = request;
      // What fails from here on is undone by the runtime, which calls `del`.
      await policies.add({ containerId: request.sandboxId, namespace, name, uid, addrs });
      hostPorts.add({ containerId: request.sandboxId, pod: `${namespace}/${name}`, addrs, mappings });
      return { ips: addrs.map(formatAddr) };
    },
    async del(request) {
      const network = await links;
      // Before the address is free for another pod.
      hostPorts.del(request.sandboxId);
      network.del(owner(request));
      // After the link, and before the address can be another pod's.
      policies.del(request.sandboxId);
    },
  };
}
