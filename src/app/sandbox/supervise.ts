// Keeps processes running: starts them, starts them again when they die, and knows how they are.
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import type { Readable } from "node:stream";
import { backoffMs, type Logger } from "#base";
import type { NetNs } from "#linux";
import type { ComponentSpec } from "./components.ts";

export type ComponentState = "starting" | "running" | "waiting" | "stopped";

export interface ComponentStatus {
  readonly id: string;
  readonly name: string;
  readonly node?: string;
  /** Inside the sandbox's pid namespace; 0 while it does not run. */
  readonly pid: number;
  readonly state: ComponentState;
  readonly restarts: number;
}

export interface SuperviseOptions {
  readonly spec: ComponentSpec;
  /** The namespace that it runs in; absent: the supervisor's own. */
  readonly netns?: NetNs | undefined;
  readonly programsDir: string;
  readonly logFile: string;
  readonly logger: Logger;
  readonly onReady: () => void;
}

/** A process that ran this long before it died starts again without delay. */
const STABLE_MS = 10_000;
const RESTART_BACKOFF = { initialMs: 50, maxMs: 5_000 };

export class Component {
  readonly #options: SuperviseOptions;
  #child: ChildProcess | undefined;
  #state: ComponentState = "waiting";
  #restarts = 0;
  #quickDeaths = 0;
  #stopping = false;

  constructor(options: SuperviseOptions) {
    this.#options = options;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  status(): ComponentStatus {
    const { id, name, node } = this.#options.spec;
    return { id, name, ...(node === undefined ? {} : { node }), pid: this.pid, state: this.#state, restarts: this.#restarts };
  }

  start(): void {
    const startedAt = Date.now();
    const child = this.#spawn();
    this.#child = child;
    this.#state = "starting";
    const ready = child.stdio[3] as Readable | null | undefined;
    ready?.once("data", () => {
      this.#state = "running";
      this.#options.onReady();
    });
    ready?.resume();
    child.once("error", (err) => this.#options.logger.error("cannot start", { id: this.#options.spec.id, err: String(err) }));
    child.once("exit", (code, signal) => this.#onExit(startedAt, signal ?? String(code)));
  }

  #spawn(): ChildProcess {
    const { spec, netns, programsDir, logFile } = this.#options;
    const log = openSync(logFile, "a");
    const make = (): ChildProcess =>
      spawn(process.execPath, ["--max-semi-space-size=2", `${programsDir}/${spec.name}.js`, ...spec.args], {
        stdio: ["ignore", log, log, "pipe"],
        env: { ...process.env, FAIRLEAD_READY_FD: "3" },
        detached: true,
      });
    try {
      return netns === undefined ? make() : netns.run(make);
    } finally {
      closeSync(log);
    }
  }

  #onExit(startedAt: number, how: string): void {
    this.#child = undefined;
    if (this.#stopping) {
      this.#state = "stopped";
      return;
    }
    this.#quickDeaths = Date.now() - startedAt > STABLE_MS ? 0 : this.#quickDeaths + 1;
    const delayMs = this.#quickDeaths <= 1 ? 0 : backoffMs(RESTART_BACKOFF, this.#quickDeaths - 2);
    this.#options.logger.warn("component died, starting it again", { id: this.#options.spec.id, how, delayMs });
    this.#state = "waiting";
    setTimeout(() => {
      if (this.#stopping) return;
      this.#restarts++;
      this.start();
    }, delayMs);
  }

  stop(): void {
    this.#stopping = true;
    this.#child?.kill("SIGTERM");
  }
}
