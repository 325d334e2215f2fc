// Puts the parts together: watches the node's pods, gives each a worker, and keeps the node's own objects.

import { setMaxListeners } from "node:events";
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import type { Service } from "kubernetes-types/core/v1";
import { type Clock, errorMessage, type Logger, systemClock, WorkQueue } from "#base";
import { type Client, createEventRecorder, createInformer, dropManagedFields, type Informer } from "#client";
import { PODS, SERVICES } from "#kube";
import type { ImageService, RuntimeService } from "#runtime";
import { refusalOf, refusedStatus } from "./admission.ts";
import { parseResolvConf } from "./dns-config.ts";
import { readMachine } from "./machine.ts";
import type { NodeContext, NodeSettings } from "./node-context.ts";
import { allocatable, KUBELET_PORT, type NodeFacts } from "./node-object.ts";
import { NodeReporter } from "./node-reporter.ts";
import { ReferencedObjects } from "./objects.ts";
import { describePod, type StoredPod } from "./pod-spec.ts";
import { PodWorker } from "./pod-worker.ts";
import { type DebugPages, serveKubelet } from "./server/index.ts";
import { StatusWriter } from "./status-writer.ts";
import { removePodDirectory } from "./volumes/index.ts";

export interface KubeletOptions {
  readonly client: Client;
  readonly runtime: RuntimeService & ImageService;
  readonly nodeName: string;
  /** Its InternalIPs, the first of the cluster's primary family. The kubelet's own server listens on them. */
  readonly nodeAddresses: readonly string[];
  readonly nodeLabels?: Readonly<Record<string, string>>;
  readonly clusterDns: readonly string[];
  readonly clusterDomain: string;
  /** Logs and volumes of pods are below it. */
  readonly nodeRoot: string;
  /** What the API server shows to be let in. */
  readonly kubeletToken: string;
  /** The node is Ready, and pods are connected, from then on; at once where it is absent. */
  readonly networkReady?: Promise<void>;
  /** An informer on all Services, where there is one already. */
  readonly services?: Informer<Service>;
  /** 10250 unless told. */
  readonly port?: number;
  /** The resolv.conf that pods with `dnsPolicy: Default` get; /etc/resolv.conf unless told. */
  readonly resolvConf?: string;
  readonly debugPages?: DebugPages;
  readonly clock?: Clock;
  readonly logger: Logger;
  /** Ends the kubelet; pods go on. */
  readonly signal: AbortSignal;
}

export interface Kubelet {
  /** Resolves when the node is registered and its pods are known. */
  readonly started: Promise<void>;
  /** Resolves when the API knows that the node is Ready. */
  readonly ready: Promise<void>;
}

/** How many pods are looked at at once: as many as there are; each waits for others most of the time. */
const CONCURRENCY = 1000;

export function startKubelet(options: KubeletOptions): Kubelet {
  const kubelet = new RunningKubelet(options);
  const started = kubelet.start();
  const ready = Promise.all([started, options.networkReady]).then(() => kubelet.setReady());
  // Whoever waits gets to know; for the others there is the log.
  for (const promise of [started, ready])
    promise.catch((err: unknown) => options.logger.error("the kubelet failed", { err: errorMessage(err) }));
  return { started, ready };
}

class RunningKubelet {
  readonly #options: KubeletOptions;
  readonly #clock: Clock;
  readonly #workers = new Map<string, PodWorker>();
  readonly #queue: WorkQueue;
  #reporter: NodeReporter | undefined;
  #node: NodeContext | undefined;
  #networkReady: boolean;

  constructor(options: KubeletOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#networkReady = options.networkReady === undefined;
    setMaxListeners(0, options.signal);
    this.#queue = new WorkQueue({
      concurrency: CONCURRENCY,
      backoff: { initialMs: 100, maxMs: 10_000 },
      run: (uid) => this.#sync(uid),
      onError: (uid, err) => {
        const worker = this.#workers.get(uid);
        options.logger.error("cannot sync a pod", { pod: worker === undefined ? uid : describePod(worker.pod), err: errorMessage(err) });
      },
    });
  }

  async start(): Promise<void> {
    const { client, runtime, nodeName, nodeRoot, logger, signal } = this.#options;
    for (const dir of ["pods", "log/pods"]) mkdirSync(`${nodeRoot}/${dir}`, { recursive: true });
    const facts = await this.#nodeFacts();
    const node = this.#createContext(facts);
    this.#node = node;
    this.#reporter = new NodeReporter({ client, facts, clock: this.#clock, logger, signal });
    const pods = createInformer(client, PODS, {
      fieldSelector: `spec.nodeName=${nodeName}`,
      transform: dropManagedFields,
      logger,
      signal,
    });
    runtime.onContainerEvent(({ podUid }) => this.#queue.add(podUid));
    signal.addEventListener("abort", () => this.#close(), { once: true });
    const serving = serveKubelet({
      addresses: this.#options.nodeAddresses,
      port: facts.port,
      token: this.#options.kubeletToken,
      runtime,
      pods: () => [...this.#workers.values()].map((worker) => worker.pod),
      ...(this.#options.debugPages && { debugPages: this.#options.debugPages }),
      nodeName,
      logger,
      signal,
    });
    await Promise.all([serving, this.#reporter.start(), pods.synced]);
    pods.subscribe((change) => {
      if (change.type === "set") this.#setPod(change.object, change.old);
      else this.#deletePod(change.object);
    });
    await this.#removeOrphans(new Set(pods.list().map((pod) => pod.metadata.uid)));
  }

  async setReady(): Promise<void> {
    this.#networkReady = true;
    for (const uid of this.#workers.keys()) this.#queue.add(uid);
    await this.#reporter?.setReady();
  }

  #close(): void {
    this.#queue.stop();
    for (const worker of this.#workers.values()) worker.close();
    this.#node?.objects.close();
  }

  async #nodeFacts(): Promise<NodeFacts> {
    const { nodeName, nodeAddresses, nodeLabels = {}, nodeRoot, runtime, port = KUBELET_PORT } = this.#options;
    return { name: nodeName, addresses: nodeAddresses, labels: nodeLabels, port, machine: await readMachine(nodeRoot, runtime) };
  }

  #createContext(facts: NodeFacts): NodeContext {
    const { client, runtime, logger, signal, nodeName } = this.#options;
    const clock = this.#clock;
    const settings: NodeSettings = {
      nodeName,
      hostIps: this.#options.nodeAddresses,
      clusterDns: this.#options.clusterDns,
      clusterDomain: this.#options.clusterDomain,
      hostDns: readResolvConf(this.#options.resolvConf ?? "/etc/resolv.conf"),
      nodeRoot: this.#options.nodeRoot,
      allocatable: allocatable(facts.machine),
    };
    const onChange = (uids: readonly string[]): void => {
      for (const uid of uids) {
        this.#workers.get(uid)?.refresh();
        this.#queue.add(uid);
      }
    };
    return {
      settings,
      client,
      runtime,
      services: this.#options.services ?? createInformer(client, SERVICES, { transform: dropManagedFields, logger, signal }),
      objects: new ReferencedObjects({ client, logger, onChange }),
      statuses: new StatusWriter({ client, clock, logger, signal }),
      events: createEventRecorder(client, { component: "kubelet", host: nodeName, clock, logger }),
      clock,
      logger,
      networkReady: () => this.#networkReady,
      requeue: (uid) => this.#queue.add(uid),
    };
  }

  #setPod(pod: StoredPod, old: StoredPod | undefined): void {
    const { uid } = pod.metadata;
    const worker = this.#workers.get(uid);
    this.#node?.statuses.observe(pod);
    if (worker !== undefined) worker.update(pod);
    else if (this.#node !== undefined) this.#workers.set(uid, new PodWorker(this.#node, this.#admit(this.#node, pod)));
    // Our own status coming back is no news.
    if (worker === undefined || old === undefined || isNews(pod, old)) this.#queue.add(uid);
  }

  /** The pod, ended where this node does not take it. */
  #admit({ statuses, events, clock }: NodeContext, pod: StoredPod): StoredPod {
    // What was deleted at once may still be ending; whoever deleted it so has said that its place is free.
    const others = [...this.#workers.values()].filter(({ isKnown }) => isKnown);
    const refusal = refusalOf(
      pod,
      others.map((worker) => worker.pod),
    );
    if (refusal === undefined) return pod;
    const status = refusedStatus(pod, refusal, clock.now());
    statuses.set(pod, status);
    events.event(pod, { type: "Warning", ...refusal });
    return { ...pod, status };
  }

  #deletePod(pod: StoredPod): void {
    const { uid } = pod.metadata;
    this.#workers.get(uid)?.gone(pod);
    this.#queue.add(uid);
  }

  async #sync(uid: string): Promise<number | undefined> {
    const worker = this.#workers.get(uid);
    if (worker === undefined) return undefined;
    const againMs = await worker.sync();
    if (worker.done) this.#workers.delete(uid);
    return againMs;
  }

  /** Pods that were deleted while nobody looked. */
  async #removeOrphans(known: ReadonlySet<string>): Promise<void> {
    const { runtime, nodeRoot, logger } = this.#options;
    for (const sandbox of await runtime.listPodSandbox()) {
      if (known.has(sandbox.metadata.uid)) continue;
      logger.info("removing a pod that is not in the API any more", { ...sandbox.metadata });
      await runtime.removePodSandbox(sandbox.id).catch((err: unknown) => logger.warn("cannot remove it", { err: errorMessage(err) }));
    }
    for (const uid of readdirSync(`${nodeRoot}/pods`)) {
      if (!known.has(uid) && !this.#workers.has(uid)) removePodDirectory(`${nodeRoot}/pods/${uid}`);
    }
    for (const name of readdirSync(`${nodeRoot}/log/pods`)) {
      const uid = name.slice(name.lastIndexOf("_") + 1);
      if (!known.has(uid) && !this.#workers.has(uid)) rmSync(`${nodeRoot}/log/pods/${name}`, { recursive: true, force: true });
    }
  }
}

/** Whether something changed beside the status that the kubelet itself writes. Conditions of others count. */
function isNews(pod: StoredPod, old: StoredPod): boolean {
  const relevant = ({ metadata, spec, status }: StoredPod): string => {
    const { resourceVersion: _, managedFields: __, ...meta } = metadata;
    const gates = new Set((spec?.readinessGates ?? []).map(({ conditionType }) => conditionType));
    return JSON.stringify([meta, spec, (status?.conditions ?? []).filter(({ type }) => gates.has(type))]);
  };
  return relevant(pod) !== relevant(old);
}

function readResolvConf(file: string): ReturnType<typeof parseResolvConf> {
  try {
    return parseResolvConf(readFileSync(file, "utf8"));
  } catch {
    return { servers: [], searches: [], options: [] };
  }
}
