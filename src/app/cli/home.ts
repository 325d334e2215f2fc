// Where clusters keep their files, and which of them live.
import { existsSync, readdirSync } from "node:fs";
import { homedir } from "node:os";
import { resolve } from "node:path";
import { FairleadError, InputError } from "#base";
import { clusterPaths } from "#sandbox";
import { type ClusterState, readState } from "../supervisor/state.ts";
import { isAlive } from "./processes.ts";

export const DEFAULT_NAME = "fairlead";
const MAX_NAME = 40;

/** `$FAIRLEAD_HOME`, or `~/.local/state/fairlead`. Absolute: the processes of a cluster run in other directories, and are known by it. */
export function fairleadHome(env: NodeJS.ProcessEnv = process.env): string {
  const set = env["FAIRLEAD_HOME"] ?? "";
  if (set !== "") return resolve(set);
  const state = env["XDG_STATE_HOME"] ?? "";
  return `${state === "" ? `${homedir()}/.local/state` : resolve(state)}/fairlead`;
}

export function clusterHome(name: string): string {
  return `${fairleadHome()}/${checkName(name)}`;
}

/** Holds the pid of the command that starts the cluster, for as long as it does. */
export function startingFile(home: string): string {
  return `${home}/starting`;
}

function isName(text: string): boolean {
  return /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/.test(text) && text.length <= MAX_NAME;
}

/** What is wrong with the name of a cluster; undefined for a good one. */
export function nameProblem(name: string): string | undefined {
  return isName(name)
    ? undefined
    : `"${name}" is not a cluster name: at most ${MAX_NAME} lower-case letters, digits and "-", such as "demo"`;
}

function checkName(name: string): string {
  const problem = nameProblem(name);
  if (problem !== undefined) throw new InputError("--name", problem);
  return name;
}

export interface Cluster {
  readonly name: string;
  readonly home: string;
  /** Absent where a start did not come so far. */
  readonly state: ClusterState | undefined;
  readonly running: boolean;
}

export function findCluster(name: string): Cluster | undefined {
  const home = clusterHome(name);
  if (!isOurs(home)) return undefined;
  const state = readState(clusterPaths(home).state);
  return { name, home, state, running: state !== undefined && isAlive(state.pid, home) };
}

/** Whether the directory is there and a start made it: whatever else lies in `$FAIRLEAD_HOME` is never removed. */
function isOurs(home: string): boolean {
  if (!existsSync(home)) return false;
  return [clusterPaths(home).state, startingFile(home)].some((file) => existsSync(file)) || readdirSync(home).length === 0;
}

export function listClusters(): Cluster[] {
  if (!existsSync(fairleadHome())) return [];
  const directories = readdirSync(fairleadHome(), { withFileTypes: true }).filter((entry) => entry.isDirectory() && isName(entry.name));
  return directories.map((entry) => findCluster(entry.name)).filter((cluster) => cluster !== undefined);
}

/** The running cluster of that name, or an error that says what there is instead. */
export function runningCluster(name: string): Cluster & { state: ClusterState } {
  const cluster = findCluster(name);
  if (cluster?.running === true && cluster.state !== undefined) return { ...cluster, state: cluster.state };
  const others = listClusters().filter((other) => other.running);
  const hint =
    others.length === 0
      ? `Start one with: fairlead up${name === DEFAULT_NAME ? "" : ` --name ${name}`}`
      : `Running: ${others.map((other) => other.name).join(", ")} (choose with --name)`;
  const what = cluster === undefined ? "there is no cluster" : "not running: cluster";
  throw new FairleadError(`${what} "${name}". ${hint}`, { code: "NotRunning" });
}
