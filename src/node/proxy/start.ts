import type { Node, Service } from "kubernetes-types/core/v1";
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import { type Logger, systemClock } from "#base";
import { type Client, createInformer, dropManagedFields, type EventRecorder, type Informer } from "#client";
import type { Addr, AddrPort, Family, Prefix } from "#ip";
import { ENDPOINT_SLICES, SERVICES } from "#kube";
import { type ConntrackSocket, type NetNs, netns as namespaces, openConntrack } from "#linux";
import { nodePortAddresses } from "./compile.ts";
import type { Dataplane, ProxyMode } from "./dataplane.ts";
import { ServiceEvents } from "./events.ts";
import { ProxyHealth } from "./health.ts";
import { HealthPorts } from "./health-ports.ts";
import type { ServiceReport } from "./inspect.ts";
import { LocalhostPorts } from "./localhost-ports.ts";
import { createMetrics, type ProxyMetrics } from "./metrics.ts";
import { type DataplaneOptions, openDataplane } from "./modes.ts";
import { watchNodePortAddresses } from "./node-port-addresses.ts";
import { watchNode } from "./node-watch.ts";
import { type ProxyObserver, Reconciler } from "./reconcile.ts";
import { StatusServers } from "./status-servers.ts";
import type { ClusterCidrs, ProxyNode } from "./types.ts";
import { startUpkeep, type UpkeepOptions } from "./upkeep.ts";

const CHECK_EVERY_MS = 30_000;

interface ProxyInformers {
  readonly services: Informer<Service>;
  readonly slices: Informer<EndpointSlice>;
  /** For the node's zone and whether it is about to go; without it `node` stays as it is. */
  readonly nodes?: Informer<Node>;
}

export interface ProxyOptions {
  readonly client: Client;
  /** The node's network namespace; absent: the one this process is in. */
  readonly netns?: NetNs;
  readonly node: ProxyNode;
  /** Whether the addresses of the Node object are to be used as soon as it has any; default: those of `node` stay. */
  readonly followNodeAddresses?: boolean;
  /** NodePorts answer at all addresses of the node in these blocks; default: at `node.addresses`. */
  readonly nodePortAddresses?: readonly Prefix[];
  /** Whether TCP NodePorts answer at 127.0.0.1 and ::1 too, through this process; default: not. */
  readonly localhostNodePorts?: boolean;
  /** Of the whole cluster: pods of these addresses are not translated among themselves. */
  readonly podCidrs: readonly Prefix[];
  /** Of this node, until its Node says; absent: all count as this node's. */
  readonly localPodCidrs?: readonly Prefix[];
  /** Whether pods of this node have addresses from its Node's Pod CIDRs; default: they do. Some network plugins give others. */
  readonly followPodCidrs?: boolean;
  readonly serviceCidrs: readonly Prefix[];
  readonly logger: Logger;
  readonly signal?: AbortSignal;
  /** Where /healthz and /livez are served; default: nowhere. */
  readonly healthz?: readonly AddrPort[];
  /** Where /metrics and /proxyMode are served; default: nowhere. */
  readonly metricsAt?: readonly AddrPort[];
  /** What `metricsAt` answers besides the proxy's own, in Prometheus' text format. */
  readonly furtherMetrics?: () => string;
  /** For what Services should be told of. */
  readonly events?: EventRecorder;
  /** Informers that the program has already; absent: ones of our own. */
  readonly informers?: ProxyInformers;
  /** Who else wants to know what is compiled and programmed. */
  readonly observers?: readonly ProxyObserver[];
  /** How the kernel is made to do it; default: nftables. */
  readonly mode?: ProxyMode;
  readonly openDataplane?: (options: DataplaneOptions) => Dataplane;
  /** How often to look whether somebody has removed the rules; default: 30 s, as kube-proxy's syncPeriod. */
  readonly checkEveryMs?: number;
  /** Used where `netns` is given; without one, stale UDP flows are left to time out. */
  readonly openConntrack?: (netns: NetNs) => ConntrackSocket;
}

export interface ServiceProxy {
  /** Resolves when the kernel holds all Services for the first time. */
  readonly synced: Promise<void>;
  readonly metrics: ProxyMetrics;
  /** Resolves when everything that the informers have told is in the kernel. */
  idle(): Promise<void>;
  /** Reads the kernel's table and puts right what differs. */
  resync(): Promise<void>;
  /** The cluster has other blocks of addresses now. Resolves when the kernel knows. */
  setCidrs(cidrs: ClusterCidrs): Promise<void>;
  /** What this node does for a Service (`namespace/name`) and why; undefined: there is no such Service. */
  inspect(service: string): Promise<ServiceReport | undefined>;
  /** Stops watching. The rules stay: connections go on, and the next proxy takes over. */
  stop(): void;
}

export function startProxy(options: ProxyOptions): ServiceProxy {
  const { netns, signal } = options;
  const logger = options.logger.child({ room: "proxy" });
  const informers = options.informers ?? ownInformers(options, logger);
  const conntrack = netns && (options.openConntrack ?? openConntrack)(netns);
  const metrics = createMetrics();
  const { podCidrs, localPodCidrs, serviceCidrs, followPodCidrs: followsPodCidrs = true } = options;
  const cidrs: ClusterCidrs = { podCidrs, serviceCidrs, ...(localPodCidrs && { localPodCidrs }) };
  const open = options.openDataplane ?? ((on) => openDataplane(options.mode ?? "nftables", on));
  const dataplane = open({ netns, cidrs, metrics, logger });
  const status = openStatus(options, { services: informers.services, mode: dataplane.mode, metrics, logger });
  const observers = [...status.observers, ...serviceEvents(options, informers), ...(options.observers ?? [])];
  const chosen = options.nodePortAddresses && watchNodePortAddresses(netns, options.nodePortAddresses, (own) => setNode(node, own));
  let node = withPorts(options.node, chosen?.addresses);
  status.setNode(node);
  const reconciler = new Reconciler({ ...informers, dataplane, metrics, conntrack, node, observers, logger });
  const setNode = (next: ProxyNode, own = chosen?.addresses): void => {
    node = withPorts(next, own);
    status.setNode(node);
    reconciler.setNode(node);
  };
  const setCidrs = (next: Partial<ClusterCidrs>): Promise<void> => {
    Object.assign(cidrs, next);
    return reconciler.resync();
  };
  if (informers.nodes !== undefined) {
    watchNode({
      nodes: informers.nodes,
      node: options.node,
      followAddresses: options.followNodeAddresses ?? false,
      onChange: (next) => setNode(next),
      onPodCidrs: (own) => void (followsPodCidrs && setCidrs({ localPodCidrs: own })),
      onObject: (object) => status.health.setNode(object),
    });
  }
  const ended = new AbortController();
  const stop = (): void => {
    ended.abort();
    reconciler.stop();
    status.stop();
    chosen?.close();
    if (options.informers === undefined) for (const informer of [informers.services, informers.slices]) informer.stop();
    dataplane.close();
    conntrack?.close();
  };
  signal?.addEventListener("abort", stop, { once: true });
  const synced = complete(informers).then(async () => {
    await reconciler.start();
    if (!ended.signal.aborted) await keepUp(options, { dataplane, resync: () => reconciler.resync(), logger }, ended.signal);
  });
  return {
    synced,
    metrics,
    idle: () => reconciler.idle(),
    resync: () => reconciler.resync(),
    inspect: (service) => reconciler.inspect(service),
    setCidrs,
    stop,
  };
}

/** The Node too: without its zone and its Pod CIDRs the rules would be others, for a moment, than those that the last proxy has left. */
async function complete({ services, slices, nodes }: ProxyInformers): Promise<void> {
  await Promise.all([services.synced, slices.synced, nodes?.synced]);
}

/** Not for a dataplane that is not the kernel's. */
async function keepUp(
  { checkEveryMs = CHECK_EVERY_MS, netns = namespaces.current(), openDataplane: given }: ProxyOptions,
  on: Pick<UpkeepOptions, "dataplane" | "resync" | "logger">,
  signal: AbortSignal,
): Promise<void> {
  if (given === undefined) await startUpkeep({ ...on, netns, checkEveryMs }, signal);
}

interface Status {
  readonly health: ProxyHealth;
  readonly observers: readonly ProxyObserver[];
  setNode(node: ProxyNode): void;
  stop(): void;
}

function serviceEvents({ events, node }: ProxyOptions, { services, nodes }: ProxyInformers): ProxyObserver[] {
  return events === undefined ? [] : [new ServiceEvents({ events, services, nodes, node: node.name })];
}

/** Everything that answers somebody about this proxy. */
function openStatus(
  options: ProxyOptions,
  { services, mode, metrics, logger }: Pick<ProxyInformers, "services"> & { mode: ProxyMode; metrics: ProxyMetrics; logger: Logger },
): Status {
  const { netns } = options;
  let families = familiesOf(options.node);
  const health = new ProxyHealth(systemClock);
  const isProxyHealthy = (): boolean => health.isHealthy();
  const ports = new HealthPorts({
    netns,
    addresses: nodePortAddresses(options.node),
    isProxyHealthy,
    services,
    events: options.events,
    logger,
  });
  const localhost = options.localhostNodePorts === true ? new LocalhostPorts({ netns, logger }) : undefined;
  const { healthz = [], metricsAt = [], furtherMetrics } = options;
  const servers = new StatusServers({
    netns,
    healthz,
    metricsAt,
    health,
    metrics,
    ...(furtherMetrics && { furtherMetrics }),
    context: () => ({ mode, families }),
    logger,
  });
  return {
    health,
    observers: [health, ports, ...(localhost === undefined ? [] : [localhost])],
    setNode(node) {
      families = familiesOf(node);
      ports.setAddresses(nodePortAddresses(node));
    },
    stop() {
      localhost?.stop();
      ports.stop();
      servers.stop();
    },
  };
}

function withPorts(node: ProxyNode, nodePortAddresses: readonly Addr[] | undefined): ProxyNode {
  return nodePortAddresses === undefined ? node : { ...node, nodePortAddresses };
}

function ownInformers({ client, signal }: ProxyOptions, logger: Logger): ProxyInformers {
  const own = { logger, ...(signal && { signal }) };
  return {
    services: createInformer(client, SERVICES, { ...own, transform: dropManagedFields }),
    slices: createInformer(client, ENDPOINT_SLICES, { ...own, transform: dropManagedFields }),
  };
}

/** Of a node whose addresses are not known yet: both. */
function familiesOf({ addresses }: ProxyNode): readonly Family[] {
  const families = ([4, 6] as const).filter((family) => addresses.some((addr) => addr.family === family));
  return families.length === 0 ? [4, 6] : families;
}
