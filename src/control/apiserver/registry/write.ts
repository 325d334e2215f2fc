import type { Registry, User, Write } from "./types.ts";

/** A write with what has to be taken back or followed up. */
export class WriteInProgress implements Write {
  readonly registry: Registry;
  readonly user: User;
  readonly dryRun: boolean;
  readonly fieldManager: string;
  readonly isApply: boolean;
  readonly #warnings: string[];
  #undo: (() => void)[] = [];
  #done: (() => void)[] = [];

  constructor(registry: Registry, options: WriteOptions) {
    this.registry = registry;
    this.user = options.user;
    this.dryRun = options.dryRun;
    this.fieldManager = options.fieldManager ?? "apiserver";
    this.isApply = options.isApply === true;
    this.#warnings = options.warnings;
  }

  warn(text: string): void {
    if (!this.#warnings.includes(text)) this.#warnings.push(text);
  }

  undo(action: () => void): void {
    this.#undo.push(action);
  }

  done(action: () => void): void {
    this.#done.push(action);
  }

  /** Runs `body`, then what belongs to how it ended. */
  async run<R>(body: () => Promise<R>): Promise<R> {
    try {
      const result = await body();
      this.#settle(this.dryRun ? this.#undo : this.#done);
      return result;
    } catch (err) {
      this.#settle(this.#undo);
      throw err;
    }
  }

  /** Each attempt of a write starts anew. */
  reset(): void {
    this.#settle(this.#undo);
  }

  #settle(actions: readonly (() => void)[]): void {
    this.#undo = [];
    this.#done = [];
    for (const action of actions) action();
  }
}

export interface WriteOptions {
  readonly user: User;
  readonly dryRun: boolean;
  readonly warnings: string[];
  readonly fieldManager?: string;
  readonly isApply?: boolean;
}

/** The server itself, for what it creates on its own account. */
export const SYSTEM_USER: User = { name: "system:apiserver", uid: "", groups: ["system:masters"] };
