// Containers: created as a record, started through the launcher, watched until they end; found again by the next agent.
import { randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import { constants } from "node:os";
import { errorMessage, type Logger } from "#base";
import { type Namespaces, watchProcessEnd } from "#linux";
import { ContainerIo } from "./container-io.ts";
import { RuntimeError } from "./errors.ts";
import { imageId, requireBuiltinImage } from "./images.ts";
import { type Launched, launch } from "./launch.ts";
import { type NodeFacts, planContainer } from "./launch-plan.ts";
import type { ContainerLaunch } from "./launch-spec.ts";
import type { Sandboxes } from "./sandboxes.ts";
import { type ContainerRecord, ExitCodes, isAlive, RecordStore, signalProcess } from "./state.ts";
import type { ContainerConfig, ContainerEvent, ContainerFilter, ContainerStatus } from "./types.ts";

export interface ContainersOptions {
  readonly stateDir: string;
  readonly exitsDir: string | undefined;
  readonly node: NodeFacts;
  readonly sandboxes: Sandboxes;
  readonly logger: Logger;
  readonly onEvent: (event: ContainerEvent) => void;
}

/** A container of this runtime, as long as it is known. */
interface Entry {
  record: ContainerRecord;
  io: ContainerIo | undefined;
  watch: { close(): void } | undefined;
  /** Resolves when the record says "exited", or when what was begun of a container that never ran has been ended. */
  readonly ended: PromiseWithResolvers<void>;
}

/** How long the output of a container may stay open after it ended. */
const DRAIN_MS = 500;
/** SIGKILL cannot be refused; only a process that hangs in the kernel takes longer. */
const KILL_MS = 10_000;
/** How often, and for how long, the exit code of somebody else's child is looked for after its end. */
const EXIT_CODE_TRIES = 20;
const EXIT_CODE_INTERVAL_MS = 25;

export class Containers {
  readonly #options: ContainersOptions;
  readonly #store: RecordStore<ContainerRecord>;
  readonly #exits: ExitCodes;
  readonly #entries = new Map<string, Entry>();

  constructor(options: ContainersOptions) {
    this.#options = options;
    this.#store = new RecordStore(`${options.stateDir}/containers`);
    this.#exits = new ExitCodes(options.exitsDir);
    for (const record of this.#store.load()) this.#adopt(record);
  }

  record(id: string): ContainerRecord {
    return this.#entry(id).record;
  }

  dirOf(id: string): string {
    return this.#store.dirOf(id);
  }

  ioOf(id: string): ContainerIo | undefined {
    return this.#entry(id).io;
  }

  endOf(id: string): Promise<void> {
    return this.#entry(id).ended.promise;
  }

  status(id: string): ContainerStatus {
    return this.#statusOf(this.record(id));
  }

  list(filter: ContainerFilter = {}): ContainerStatus[] {
    const records = [...this.#entries.values()].map((entry) => entry.record);
    return records
      .filter(
        (record) =>
          (filter.podSandboxId === undefined || record.sandboxId === filter.podSandboxId) &&
          (filter.podUid === undefined || this.#podUid(record) === filter.podUid) &&
          (filter.state === undefined || record.state === filter.state),
      )
      .map((record) => this.#statusOf(record));
  }

  create(sandboxId: string, config: ContainerConfig): string {
    const id = randomBytes(32).toString("hex");
    const record: ContainerRecord = { id, sandboxId, config, state: "created", createdAtMs: Date.now() };
    // Whatever is wrong with the configuration is said now.
    this.#plan(record);
    this.#store.create(record);
    this.#entries.set(id, newEntry(record));
    return id;
  }

  async start(id: string): Promise<void> {
    const entry = this.#entry(id);
    const { record } = entry;
    if (record.state !== "created") throw new RuntimeError("RunContainerError", `container ${id} is ${record.state}, not created`);
    const launched = this.#launch(entry);
    // At once, so that a new agent would find the process.
    this.#update(entry, { process: launched.process });
    const exited = Promise.withResolvers<number>();
    launched.child.once("exit", (code, signal) => {
      this.#killDescendants(record, launched.process.pid);
      exited.resolve(code ?? 128 + (constants.signals[signal ?? "SIGKILL"] ?? 0));
    });
    try {
      await launched.started;
    } catch (err) {
      await exited.promise;
      await this.#finish(entry, { exitCode: 128, reason: "StartError", message: errorMessage(err) });
      throw err;
    }
    this.#update(entry, { state: "running", startedAtMs: Date.now() });
    this.#emit(entry, "started");
    void exited.promise.then((exitCode) => this.#finish(entry, { exitCode }));
  }

  async stop(id: string, timeoutSeconds: number): Promise<void> {
    const entry = this.#entry(id);
    if (entry.record.state === "exited") return;
    if (entry.record.state === "created" && entry.record.process === undefined) {
      await this.#finish(entry, { exitCode: 137, reason: "ContainerStatusUnknown", message: "it was never started" });
      return;
    }
    if (timeoutSeconds > 0) {
      this.#signal(entry, "SIGTERM");
      if (await endsWithin(entry, timeoutSeconds * 1000)) return;
    }
    this.#signal(entry, "SIGKILL");
    if (await endsWithin(entry, KILL_MS)) return;
    throw new RuntimeError("Timeout", `container ${id} (pid ${entry.record.process?.pid}) did not end within ${KILL_MS} ms of SIGKILL`);
  }

  async remove(id: string): Promise<void> {
    if (!this.#entries.has(id)) return;
    await this.stop(id, 0);
    this.#entries.delete(id);
    this.#store.remove(id);
  }

  close(): void {
    for (const entry of this.#entries.values()) {
      entry.watch?.close();
      entry.io?.close();
    }
    this.#entries.clear();
  }

  #entry(id: string): Entry {
    const entry = this.#entries.get(id);
    if (entry === undefined) throw new RuntimeError("NotFound", `there is no container ${id}`);
    return entry;
  }

  #podUid(record: ContainerRecord): string | undefined {
    return this.#options.sandboxes.has(record.sandboxId) ? this.#options.sandboxes.get(record.sandboxId).config.metadata.uid : undefined;
  }

  #statusOf(record: ContainerRecord): ContainerStatus {
    const { config, sandboxId, process: _, ...rest } = record;
    const { metadata, image, labels, annotations } = config;
    const logPath = this.#logPath(record);
    return {
      ...rest,
      podSandboxId: sandboxId,
      metadata,
      image,
      imageId: imageId(requireBuiltinImage(image)),
      labels,
      annotations,
      logPath,
    };
  }

  #logPath(record: ContainerRecord): string {
    const { sandboxes } = this.#options;
    const directory = sandboxes.has(record.sandboxId) ? sandboxes.get(record.sandboxId).config.logDirectory : "";
    return `${directory}/${record.config.logPath}`;
  }

  #plan(record: ContainerRecord): ReturnType<typeof planContainer> {
    const { sandboxes, node } = this.#options;
    const { config: sandbox } = sandboxes.get(record.sandboxId);
    const sandboxDir = sandboxes.dirOf(record.sandboxId);
    return planContainer(node, { sandbox, sandboxDir, rootDir: `${this.dirOf(record.id)}/root`, config: record.config });
  }

  #launch(entry: Entry): Launched {
    const { record } = entry;
    const dir = this.dirOf(record.id);
    const plan = this.#plan(record);
    mkdirSync(plan.rootDir, { recursive: true });
    const { config } = record;
    const where = this.#namespacesOf(record);
    const { tty = false, stdin = false, stdinOnce = false } = config;
    const io = ContainerIo.create({ dir, logFile: this.#logPath(record), tty, stdin, stdinOnce }, this.#options.logger);
    const spec = io.consolePath === undefined ? plan : withConsole(plan, io.consolePath);
    entry.io = io;
    try {
      return launch({ programs: this.#options.node.programs, specFile: `${dir}/launch.json`, spec, where, stdio: io.childStdio });
    } finally {
      io.started();
    }
  }

  #namespacesOf({ sandboxId, config: { pidTargetId } }: ContainerRecord): Namespaces {
    const { sandboxes } = this.#options;
    const target = pidTargetId === undefined ? undefined : this.#entries.get(pidTargetId)?.record;
    if (pidTargetId === undefined) return sandboxes.namespacesOf(sandboxId);
    if (target?.state !== "running" || !isAlive(target.process))
      throw new RuntimeError("CreateContainerError", `the container whose processes are asked for, ${pidTargetId}, is not running`);
    return sandboxes.namespacesBeside(sandboxId, target.process);
  }

  #signal(entry: Entry, signal: NodeJS.Signals): void {
    const { process: target } = entry.record;
    if (!isAlive(target)) return;
    signalProcess(target.pid, signal);
  }

  /** With a pid namespace of its own the kernel has ended them; otherwise they are in the process group that the launcher led. */
  #killDescendants(record: ContainerRecord, pid: number): void {
    const { sandboxes } = this.#options;
    const { sandboxId, config } = record;
    if (!sandboxes.has(sandboxId)) return;
    if (config.pidTargetId === undefined && sandboxes.get(sandboxId).config.namespaces.pid === "container") return;
    signalProcess(-pid, "SIGKILL");
  }

  async #finish(entry: Entry, end: { exitCode: number; reason?: string; message?: string; finishedAtMs?: number }): Promise<void> {
    if (entry.record.state === "exited") return;
    const reason = end.reason ?? (end.exitCode === 0 ? "Completed" : "Error");
    await entry.io?.drain(DRAIN_MS);
    this.#update(entry, { finishedAtMs: Date.now(), ...end, reason, state: "exited" });
    entry.watch?.close();
    entry.ended.resolve();
    this.#emit(entry, "stopped");
  }

  #update(entry: Entry, change: Partial<ContainerRecord>): void {
    entry.record = { ...entry.record, ...change };
    if (this.#entries.has(entry.record.id)) this.#store.save(entry.record);
  }

  #emit(entry: Entry, type: ContainerEvent["type"]): void {
    const { id, sandboxId } = entry.record;
    if (!this.#entries.has(id)) return;
    this.#options.onEvent({ type, containerId: id, podSandboxId: sandboxId, podUid: this.#podUid(entry.record) ?? "" });
  }

  /** A container that an earlier agent started: somebody else's child now. */
  #adopt(record: ContainerRecord): void {
    const entry = newEntry(record);
    this.#entries.set(record.id, entry);
    if (record.state === "exited") {
      entry.ended.resolve();
      return;
    }
    if (record.process === undefined) return;
    if (!isAlive(record.process)) {
      void this.#finishAdopted(entry);
      return;
    }
    const { pid } = record.process;
    try {
      entry.watch = watchProcessEnd(pid, () => void this.#finishAdopted(entry));
    } catch {
      void this.#finishAdopted(entry);
      return;
    }
    // The agent ended between starting it and knowing that it runs: nobody can tell how far it came.
    if (record.state === "created") this.#signal(entry, "SIGKILL");
    entry.io = ContainerIo.adopt(this.dirOf(record.id), this.#logPath(record), this.#options.logger);
  }

  async #finishAdopted(entry: Entry): Promise<void> {
    if (entry.record.state === "created") return this.#unbegin(entry);
    const pid = entry.record.process?.pid ?? 0;
    for (let i = 0; i < EXIT_CODE_TRIES; i++) {
      const exitCode = this.#exits.take(pid, entry.record.startedAtMs ?? entry.record.createdAtMs);
      if (exitCode !== undefined) return this.#finish(entry, { exitCode });
      // Still there as a zombie: whoever waits for it has not yet said how it ended.
      await new Promise((resolve) => setTimeout(resolve, EXIT_CODE_INTERVAL_MS));
    }
    const message = "The container could not be located when it ended";
    return this.#finish(entry, { exitCode: 137, reason: "ContainerStatusUnknown", message });
  }

  /** Nobody was told that it runs, so it did not: it stays what it was, created. */
  #unbegin(entry: Entry): void {
    const { process: _, ...record } = entry.record;
    entry.watch?.close();
    entry.io?.close();
    if (this.#entries.has(record.id)) {
      this.#entries.set(record.id, newEntry(record));
      this.#store.save(record);
    }
    entry.ended.resolve();
  }
}

/** So that the terminal of another devpts has a name in the container too. */
function withConsole(plan: ContainerLaunch, consolePath: string): ContainerLaunch {
  return { ...plan, steps: [...plan.steps, { do: "bind", path: "/dev/console", source: consolePath, readonly: false }] };
}

function newEntry(record: ContainerRecord): Entry {
  return { record, io: undefined, watch: undefined, ended: Promise.withResolvers() };
}

async function endsWithin(entry: Entry, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), ms);
  });
  const ended = await Promise.race([entry.ended.promise.then(() => true as const), timeout]);
  clearTimeout(timer);
  return ended;
}
