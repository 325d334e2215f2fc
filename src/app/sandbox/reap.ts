// Pid 1 inherits the pods of an agent that died, and must wait for them when they end. Their exit codes are left in a file each,
// where the next agent finds them.
import { mkdirSync, writeFileSync } from "node:fs";
import { errorMessage, type Logger } from "#base";
import { reapOrphans } from "#linux";

export interface ReaperOptions {
  /** Children that Node itself waits for. */
  readonly childPids: () => readonly number[];
  readonly exitsDir: string;
  readonly logger: Logger;
}

export function startReaper({ childPids, exitsDir, logger }: ReaperOptions): void {
  mkdirSync(exitsDir, { recursive: true });
  const reap = (): void => {
    try {
      for (const { pid, status } of reapOrphans(childPids())) writeFileSync(`${exitsDir}/${pid}`, String(status));
    } catch (err) {
      logger.error("cannot reap", { err: errorMessage(err) });
    }
  };
  // After libuv's own handler, which waits for the children that it knows.
  process.on("SIGCHLD", () => setImmediate(reap));
}
