// Pid 1 inherits the pods of an agent that died, and must wait for them when they end. Their exit codes are left in a file each,
// where the next agent finds them.
import { mkdirSync, writeFileSync } from "node:fs";
import { watchOrphans } from "#linux";

export interface ReaperOptions {
  /** Children that Node itself waits for. */
  readonly childPids: () => readonly number[];
  readonly exitsDir: string;
}

export function startReaper({ childPids, exitsDir }: ReaperOptions): void {
  mkdirSync(exitsDir, { recursive: true });
  watchOrphans(
    () => new Set(childPids()),
    ({ pid, status }) => writeFileSync(`${exitsDir}/${pid}`, String(status)),
  );
}
