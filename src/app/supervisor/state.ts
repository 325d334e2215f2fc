// What the commands on the host know of a cluster: a file that its supervisor writes.
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { FairleadError } from "#base";
import type { ClusterOptions } from "#sandbox";

export interface ClusterState {
  readonly options: ClusterOptions;
  /** The supervisor's pid, and that of the `unshare` whose only child is the sandbox's first process. */
  readonly pid: number;
  readonly sandboxParentPid: number;
  readonly apiPort: number;
}

export function writeState(path: string, state: ClusterState): void {
  writeFileSync(`${path}.new`, `${JSON.stringify(state)}\n`);
  renameSync(`${path}.new`, path);
}

/** Absent when there is no such file. */
export function readState(path: string): ClusterState | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
  const value: unknown = JSON.parse(text);
  if (typeof value !== "object" || value === null || !("options" in value)) {
    throw new FairleadError(`${path} is not a cluster's state; remove the directory that it is in`, { code: "BadState" });
  }
  return value as ClusterState;
}
