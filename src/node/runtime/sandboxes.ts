// Pod sandboxes: the namespaces that a pod's containers share, held by a process that does nothing.
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { errorMessage, type Logger } from "#base";
import { inNamespaces, type NamespaceKind, type Namespaces, type NetNs, netns, openRoute, sethostname } from "#linux";
import { RuntimeError } from "./errors.ts";
import { formatResolvConf } from "./resolv-conf.ts";
import type { ProgramFiles } from "./rootfs.ts";
import { isAlive, type ProcessId, processId, RecordStore, type SandboxRecord, signalProcess } from "./state.ts";
import type { PodNetwork, PodNetworkRequest, PodSandboxConfig, PodSandboxFilter, PodSandboxStatus } from "./types.ts";

export interface SandboxesOptions {
  readonly stateDir: string;
  readonly programs: ProgramFiles;
  readonly network: PodNetwork;
  readonly logger: Logger;
}

export class Sandboxes {
  readonly #options: SandboxesOptions;
  readonly #store: RecordStore<SandboxRecord>;
  readonly #records = new Map<string, SandboxRecord>();
  readonly #netns = new Map<string, NetNs>();

  /** Finds the sandboxes that an earlier process left. */
  constructor(options: SandboxesOptions) {
    this.#options = options;
    this.#store = new RecordStore(`${options.stateDir}/sandboxes`);
    for (const record of this.#store.load()) this.#records.set(record.id, record);
  }

  get(id: string): SandboxRecord {
    const record = this.#records.get(id);
    if (record === undefined) throw new RuntimeError("NotFound", `there is no pod sandbox ${id}`);
    return record;
  }

  dirOf(id: string): string {
    return this.#store.dirOf(id);
  }

  has(id: string): boolean {
    return this.#records.has(id);
  }

  status(id: string): PodSandboxStatus {
    return this.#statusOf(this.get(id));
  }

  list(filter: PodSandboxFilter = {}): PodSandboxStatus[] {
    const all = [...this.#records.values()].map((record) => this.#statusOf(record));
    return all.filter(
      (status) =>
        (filter.podUid === undefined || status.metadata.uid === filter.podUid) &&
        (filter.state === undefined || status.state === filter.state),
    );
  }

  /** Where the pod's containers live; each one's own pid namespace comes on top. */
  namespacesOf(id: string): Namespaces {
    const record = this.get(id);
    if (!isAlive(record.pause)) throw new RuntimeError("NotRunning", `pod sandbox ${id} has no process any more that holds its namespaces`);
    const { pid, ipc } = record.config.namespaces;
    const kinds: NamespaceKind[] = ["uts"];
    if (ipc === "pod") kinds.push("ipc");
    if (pid === "pod") kinds.push("pid");
    const ns = this.#openNetNs(record);
    return { ...(ns && { netns: ns }), join: { pid: record.pause.pid, kinds }, unshare: pid === "container" ? ["pid"] : [] };
  }

  /** Where a process of the pod lives, for others beside it. */
  namespacesBeside(id: string, { pid }: ProcessId): Namespaces {
    const { unshare = [], join, ...where } = this.namespacesOf(id);
    return { ...where, join: { pid, kinds: [...(join?.kinds ?? []), ...unshare] } };
  }

  async run(config: PodSandboxConfig): Promise<string> {
    const id = randomBytes(32).toString("hex");
    let record: SandboxRecord = { id, config, createdAtMs: Date.now(), ready: false, ips: [] };
    this.#store.create(record);
    this.#records.set(id, record);
    try {
      this.#writeFiles(record);
      const ns = config.namespaces.network === "pod" ? this.#createNetNs(record) : undefined;
      record = this.#update(record, { pause: this.#startPause(config, ns) });
      const ips = ns === undefined ? [] : (await this.#options.network.add({ ...networkRequest(record), netns: ns })).ips;
      this.#update(record, { ips, ready: true });
      return id;
    } catch (err) {
      await this.remove(id).catch((cause: unknown) => {
        this.#options.logger.warn("cannot undo a pod sandbox", { id, err: errorMessage(cause) });
      });
      throw new RuntimeError("RunPodSandboxError", `Failed to create pod sandbox: ${errorMessage(err)}`, err);
    }
  }

  /** Its containers must have ended. */
  async stop(id: string): Promise<void> {
    const record = this.#records.get(id);
    if (record === undefined) return;
    if (record.config.namespaces.network === "pod") {
      await this.#options.network.del({ ...networkRequest(record), netns: this.#openNetNs(record) });
    }
    if (isAlive(record.pause)) signalProcess(record.pause.pid, "SIGKILL");
    this.#netns.get(id)?.close();
    this.#netns.delete(id);
    if (record.config.namespaces.network === "pod") netns.delete(this.#netNsPath(id));
    this.#update(record, { ready: false });
  }

  async remove(id: string): Promise<void> {
    await this.stop(id);
    this.#records.delete(id);
    this.#store.remove(id);
  }

  close(): void {
    for (const ns of this.#netns.values()) ns.close();
    this.#netns.clear();
  }

  #update(record: SandboxRecord, change: Partial<SandboxRecord>): SandboxRecord {
    const next = { ...record, ...change };
    this.#records.set(record.id, next);
    this.#store.save(next);
    return next;
  }

  #writeFiles(record: SandboxRecord): void {
    const dir = this.dirOf(record.id);
    writeFileSync(`${dir}/hostname`, `${record.config.hostname}\n`);
    writeFileSync(`${dir}/resolv.conf`, formatResolvConf(record.config.dnsConfig));
    mkdirSync(`${dir}/shm`);
    chmodSync(`${dir}/shm`, 0o1777);
  }

  #statusOf(record: SandboxRecord): PodSandboxStatus {
    const { metadata, labels, annotations, portMappings, namespaces } = record.config;
    return {
      id: record.id,
      metadata,
      state: record.ready && isAlive(record.pause) ? "ready" : "notReady",
      createdAtMs: record.createdAtMs,
      ips: record.ips,
      labels,
      annotations,
      ...(portMappings && { portMappings }),
      ...(namespaces.network === "pod" && { netnsPath: this.#netNsPath(record.id) }),
    };
  }

  #netNsPath(id: string): string {
    return `${this.dirOf(id)}/netns`;
  }

  #createNetNs({ id, config }: SandboxRecord): NetNs {
    const ns = netns.create(this.#netNsPath(id));
    this.#netns.set(id, ns);
    const route = openRoute(ns);
    try {
      route.links.change("lo", { up: true });
    } finally {
      route.close();
    }
    for (const [name, value] of Object.entries({ ...DEFAULT_SYSCTLS, ...config.sysctls })) ns.setSysctl(name, value);
    return ns;
  }

  /** After a restart of the agent: by its binding. Undefined with the node's network, or when it is gone. */
  #openNetNs(record: SandboxRecord): NetNs | undefined {
    if (record.config.namespaces.network === "node") return undefined;
    const known = this.#netns.get(record.id);
    if (known !== undefined) return known;
    try {
      const ns = netns.open(this.#netNsPath(record.id));
      this.#netns.set(record.id, ns);
      return ns;
    } catch {
      return undefined;
    }
  }

  #startPause(config: PodSandboxConfig, ns: NetNs | undefined): ProcessId {
    const { pid, ipc } = config.namespaces;
    // Also with the node's network: several nodes share this machine's host name, a pod gets that of its node.
    const unshare: NamespaceKind[] = ["uts"];
    if (ipc === "pod") unshare.push("ipc");
    if (pid === "pod") unshare.push("pid");
    const { nodePath, distDir } = this.#options.programs;
    // As pid 1 of the pod it must wait for orphans; otherwise anything will do that sleeps and is small.
    const command = pid === "pod" ? [nodePath, `${distDir}/pause.js`] : ["sleep", "infinity"];
    const child = inNamespaces({ unshare, ...(ns && { netns: ns }) }, () => {
      sethostname(config.hostname);
      return spawn(command[0] ?? "", command.slice(1), { stdio: "ignore", detached: true, cwd: "/", env: { PATH: process.env["PATH"] } });
    });
    child.on("error", () => {});
    child.unref();
    const started = child.pid === undefined ? undefined : processId(child.pid);
    if (started === undefined) throw new RuntimeError("RunPodSandboxError", `cannot start ${command.join(" ")}`);
    return started;
  }
}

/** Any user of a pod may bind low ports, as with other runtimes (containerd `enable_unprivileged_ports`). */
const DEFAULT_SYSCTLS: Readonly<Record<string, string>> = { "net.ipv4.ip_unprivileged_port_start": "0" };

function networkRequest({ id, config }: SandboxRecord): Omit<PodNetworkRequest, "netns"> {
  const { uid, namespace, name } = config.metadata;
  return { podUid: uid, namespace, name, sandboxId: id, annotations: config.annotations, portMappings: config.portMappings ?? [] };
}
