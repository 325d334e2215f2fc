// Keeps the kernel at what the policies of the cluster ask for the pods of this node. The only part of this room that acts.
//
// The kernel is read once, and again when a transaction was refused; in between a change costs what it changes.

import type { Namespace } from "kubernetes-types/core/v1";
import { errorMessage, FairleadError, WorkQueue } from "#base";
import { createInformer, type Informer } from "#client";
import { NAMESPACES, NETWORK_POLICIES, PODS, type Stored } from "#kube";
import { isErrno, watchIntact } from "#linux";
import { type NetworkPolicy, podFacts, thinNamespace, thinPod } from "#netpol";
import type { Table } from "#nft";
import { ClusterSources } from "./cluster-sources.ts";
import { compile, type Desired } from "./compile.ts";
import { diff, isSame, type Patches, patchChanges, type Steps } from "./diff.ts";
import type { Drop, DropsLeftOut } from "./drop-types.ts";
import { Drops } from "./drops.ts";
import { TABLE, UNKNOWN_CHAIN, withoutLog } from "./layout.ts";
import { createMetrics, type PolicyMetrics } from "./metrics.ts";
import { inParts, setsChanged } from "./parts.ts";
import { PolicyState } from "./state.ts";
import type { LocalPod, Policies, PoliciesOptions } from "./types.ts";

const SYNC = "sync";
const TIDY = "tidy";

/** See `Diff.cleanup`. */
const TIDY_AFTER_MS = 1000;
/** No event tells of a table that somebody else has removed or changed; that it is there is easily seen. */
const LOOK_EVERY_MS = { isThere: 5000, isSame: 30_000 };
/** The kubelet tries again. */
const POD_KNOWN_MS = 10_000;

export function startPolicies(options: PoliciesOptions): Policies {
  return new Reconciler(options);
}

class Reconciler implements Policies {
  readonly metrics: PolicyMetrics = createMetrics();
  readonly ready: Promise<void>;
  readonly #o: PoliciesOptions;
  readonly #state: PolicyState;
  readonly #queue: WorkQueue;
  readonly #policies: Informer<NetworkPolicy>;
  readonly #namespaces: Informer<Namespace>;
  readonly #cluster: ClusterSources;
  readonly #informers: readonly { stop(): void }[];
  readonly #synced: Promise<unknown>;
  readonly #opened = Promise.withResolvers<void>();
  readonly #waiting = new Set<() => void>();
  readonly #markReady: () => void;
  readonly #drops: Drops | undefined;
  #refusing: ReadonlyMap<string, readonly string[]> = new Map();
  #hasLog = true;
  #isOpen = false;
  /** What the kernel holds; undefined also where that is not certain. */
  #table: Table | undefined;
  #isKnown = false;
  readonly #end = new AbortController();
  /** The generation of others at which all was well. */
  readonly #wellAt = { isThere: 0, isSame: 0 };

  constructor(options: PoliciesOptions) {
    this.#o = options;
    const { client, logger, nodeName, signal } = options;
    this.#state = new PolicyState(nodeName);
    const { openLog, nft } = options;
    const refusing = (prefix: string): readonly string[] | undefined => this.#refusing.get(prefix) ?? this.#denying(prefix);
    if (openLog !== undefined) this.#drops = new Drops({ nodeName, nft, openLog, logger, pods: () => this.#state.pods.values(), refusing });
    this.#queue = new WorkQueue({
      run: async (key) => (key === TIDY ? this.#tidy() : this.#run()),
      onError: (_, err, attempt) => logger.error("cannot enforce network policies, trying again", { error: errorMessage(err), attempt }),
    });
    const informed = { logger, signal };
    const pods = createInformer(client, PODS, { ...informed, transform: thinPod });
    const namespaces = createInformer(client, NAMESPACES, { ...informed, transform: thinNamespace });
    this.#policies = createInformer(client, NETWORK_POLICIES, informed);
    this.#namespaces = namespaces;
    this.#cluster = new ClusterSources(options, this.#state, (isOther) => this.#changed(isOther));
    this.#informers = [pods, namespaces, this.#policies, this.#cluster];
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ready = promise;
    this.#markReady = resolve;
    pods.subscribe(({ type, key, object }) =>
      this.#changed(type === "set" ? this.#state.setPod(podFacts(object)) : this.#state.removePod(key)),
    );
    namespaces.subscribe(({ type, key, object }) =>
      this.#changed(this.#state.setNamespace(key, type === "set" ? (object.metadata.labels ?? {}) : undefined)),
    );
    this.#policies.subscribe(({ type, object }) => this.#policyChanged(type === "set", object));
    this.#synced = Promise.all([pods.synced, namespaces.synced, this.#policies.synced, this.#cluster.synced, this.#opened.promise]);
    void this.#synced.then(() => {
      this.#isOpen = true;
      this.#lookAfter();
      this.#queue.add(SYNC);
    });
  }

  open(pods: readonly LocalPod[]): void {
    for (const pod of pods) if (pod.addrs.length > 0) this.#state.connect(pod);
    this.#opened.resolve();
  }

  async add(pod: LocalPod): Promise<void> {
    await this.#synced;
    await this.#catchUp(pod);
    this.#state.connect(pod);
    this.#sync();
  }

  del(containerId: string): void {
    if (this.#state.disconnect(containerId)) this.#changed(true);
  }

  drops(signal: AbortSignal): AsyncIterable<Drop | DropsLeftOut> {
    if (this.#drops === undefined)
      throw new FairleadError("Cannot watch what policies refuse: nobody has a packet log here", { code: "NoPacketLog" });
    return this.#drops.watch(signal);
  }

  stop(): void {
    this.#drops?.close();
    for (const informer of this.#informers) informer.stop();
    this.#queue.stop();
    this.#end.abort();
  }

  /** The kubelet's watch may be ahead of ours: a policy that was there before the pod must count before its first instruction. */
  async #catchUp(pod: LocalPod): Promise<void> {
    const { namespace, name } = pod;
    const { client } = this.#o;
    const [{ items }, cluster] = await Promise.all([client.list(NETWORK_POLICIES, { namespace }), this.#cluster.versions()]);
    // Which of the cluster's policies select a pod is a matter of its namespace's labels too.
    const namespaces = cluster.length === 0 ? [] : [await client.get(NAMESPACES, { name: namespace })];
    const isThere = (): boolean =>
      this.#state.knows(pod) &&
      items.every(({ metadata }) => this.#policies.hasSeen(metadata.resourceVersion)) &&
      cluster.every((version) => this.#cluster.hasSeen(version)) &&
      namespaces.every(({ metadata }) => this.#namespaces.hasSeen(metadata.resourceVersion));
    if (isThere()) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const look = (): void => {
      if (isThere()) resolve();
    };
    const giveUp = setTimeout(() => {
      const message = `Cannot isolate pod ${namespace}/${name}: its Pod and policies have not come from the API within ${POD_KNOWN_MS} ms`;
      reject(new FairleadError(message, { code: "PolicyNotReady" }));
    }, POD_KNOWN_MS);
    this.#waiting.add(look);
    try {
      await promise;
    } finally {
      clearTimeout(giveUp);
      this.#waiting.delete(look);
    }
  }

  #policyChanged(isThere: boolean, object: Stored<NetworkPolicy>): void {
    if (isThere) {
      const { key, problems } = this.#state.setPolicy(object);
      if (problems.length > 0) this.#o.logger.warn("a part of a NetworkPolicy allows nothing", { policy: key, problems });
    } else {
      const { name, namespace = "" } = object.metadata;
      this.#state.removePolicy({ key: `${namespace}/${name}`, namespace });
    }
    this.#changed(true);
  }

  #changed(isOther: boolean): void {
    if (isOther && this.#isOpen) this.#queue.add(SYNC);
    // An informer knows its version before it tells.
    for (const look of this.#waiting) look();
  }

  #run(): undefined {
    this.#sync();
    this.#markReady();
  }

  #lookAfter(): void {
    const { logger, lookEveryMs = LOOK_EVERY_MS } = this.#o;
    const repair = async (): Promise<void> => {
      this.#isKnown = false;
      this.#queue.add(SYNC);
    };
    const watch = (kind: keyof typeof LOOK_EVERY_MS, look: () => boolean): void => {
      const isIntact = async (): Promise<boolean> => this.#isWell(kind, look);
      void watchIntact({ what: "policy rules", isIntact, repair, everyMs: lookEveryMs[kind], logger }, this.#end.signal);
    };
    const { nft } = this.#o;
    watch("isThere", () => nft.tables().some(({ family, name }) => family === TABLE.family && name === TABLE.name));
    watch("isSame", () => isSame(nft.list(TABLE), this.#table));
  }

  /** Nothing is looked at where nobody else has changed anything. What has yet to be written is not missed. */
  #isWell(kind: keyof typeof LOOK_EVERY_MS, look: () => boolean): boolean {
    const generation = this.#o.nft.generationOfOthers();
    if (!this.#isKnown || generation === this.#wellAt[kind]) return true;
    const isWell = look();
    if (isWell) this.#wellAt[kind] = generation;
    return isWell;
  }

  /** Throws what the kernel says: then the next call reads anew what it has. */
  #sync(): void {
    const { nft, logger } = this.#o;
    const wasKnown = this.#isKnown;
    if (!wasKnown) this.#table = nft.list(TABLE);
    this.#isKnown = false;
    let steps: Steps;
    try {
      steps = this.#write(this.#steps(wasKnown));
    } catch (err) {
      this.metrics.sync_failures_total++;
      if (!wasKnown && !this.#doWithoutLog(err)) throw err;
      if (wasKnown) logger.warn("the policy table is not as it was left, writing it again", { error: errorMessage(err) });
      this.#sync();
      return;
    }
    this.#table = steps.after;
    this.#isKnown = true;
    if (steps.tidy.length > 0) this.#queue.addAfter(TIDY, TIDY_AFTER_MS);
    this.metrics.policies = this.#state.policyCount;
    this.metrics.elements = this.#state.known.elementCount;
    if (steps.changes.length > 0) this.metrics.syncs_total++;
  }

  #steps(isKnown: boolean): Steps {
    const patches = this.#state.known.takePatches();
    if (!isKnown || this.#table === undefined || this.#state.isRestructured) return this.#compiled(patches);
    return { changes: patchChanges(this.#table, patches.values()), after: this.#table, tidy: [] };
  }

  #compile(): Desired {
    const desired = compile({ ...this.#state.compileInput(), groups: this.#state.groups, established: this.#o.established ?? "cut" });
    return this.#hasLog ? desired : { ...desired, table: withoutLog(desired.table) };
  }

  /** Isolation does not depend on being told of. Whether there is hope without the log. */
  #doWithoutLog(err: unknown): boolean {
    if (!this.#hasLog || !isErrno(err, "ENOENT") || !(err instanceof FairleadError) || err.facts["change"] !== "add rule") return false;
    this.#hasLog = false;
    this.#o.logger.warn("this kernel has no packet log (nfnetlink_log): what policies refuse cannot be watched", {
      error: errorMessage(err),
    });
    return true;
  }

  #compiled(patches: Patches): Steps {
    const { table, isolatedPods, selectorGroups, refusing } = this.#compile();
    this.#refusing = refusing;
    this.#state.isRestructured = false;
    Object.assign(this.metrics, { isolated_pods: isolatedPods, selector_groups: selectorGroups });
    return diff(this.#table, table, patches);
  }

  /** In one transaction where the socket takes it; otherwise one makes the difference. Returns what was written. */
  #write(steps: Steps): Steps {
    const { nft } = this.#o;
    try {
      nft.apply(steps.changes);
      return steps;
    } catch (err) {
      if (!isErrno(err, "EMSGSIZE")) throw err;
    }
    const inPlace = setsChanged(inParts(this.#table, steps.changes).change);
    if (inPlace.size > 0) this.#state.renew(inPlace);
    const written = inPlace.size > 0 ? this.#compiled(new Map()) : steps;
    const { prepare, change, finish } = inParts(this.#table, written.changes);
    nft.applyAll(prepare);
    nft.apply(change);
    nft.applyAll(finish);
    return written;
  }

  /** A rule that denies has a chain of its own, and its place in its policy as comment. */
  #denying(prefix: string): readonly string[] | undefined {
    const comment = this.#table?.chains.find(({ name }) => name === prefix)?.rules.at(-1)?.comment;
    return comment === undefined || prefix === UNKNOWN_CHAIN ? undefined : [comment];
  }

  #tidy(): undefined {
    if (!this.#isKnown || this.#table === undefined) return;
    const { table } = this.#compile();
    const { tidy } = diff(this.#table, table);
    if (tidy.length === 0) return;
    this.#o.nft.apply(tidy);
    const gone = new Set(tidy.map((change) => (change.op === "delete chain" ? change.chain : "")));
    this.#table = { ...this.#table, chains: this.#table.chains.filter(({ name }) => !gone.has(name)) };
  }
}
