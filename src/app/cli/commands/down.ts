// `fairlead down`: ends a cluster and removes its files, whatever state it is in.
import { rmSync } from "node:fs";
import { FairleadError, systemClock } from "#base";
import { checkName, clusterHome, findCluster, listClusters } from "../home.ts";
import { isAlive, sandboxPids } from "../processes.ts";
import { createSteps } from "../terminal.ts";

const PATIENCE_MS = 10_000;
const POLL_MS = 10;

export async function down(options: { name: string; all: boolean }): Promise<void> {
  const names = options.all ? listClusters().map((cluster) => cluster.name) : [checkName(options.name)];
  if (!options.all && findCluster(options.name) === undefined) {
    const others = listClusters().map((cluster) => cluster.name);
    const hint = others.length === 0 ? "There are no clusters." : `There are: ${others.join(", ")}.`;
    throw new FairleadError(`there is no cluster "${options.name}". ${hint}`, { code: "NotFound" });
  }
  const steps = createSteps(performance.timeOrigin);
  for (const name of names) {
    steps.waiting(`removing ${name}`);
    await removeCluster(name);
    steps.done(`removed ${name}`);
  }
  if (names.length === 0) process.stderr.write("There are no clusters.\n");
}

/** Ends the supervisor, or what a dead supervisor left, waits until all is gone, and removes the directory. */
export async function removeCluster(name: string): Promise<void> {
  const home = clusterHome(name);
  const state = findCluster(name)?.state;
  if (state !== undefined) {
    // Only the sandbox's first process must die for everything inside to go; it is below `unshare`, or an orphan of it.
    const inside = [...sandboxPids(state.sandboxParentPid).values()];
    const pids = [state.pid, state.sandboxParentPid, ...inside];
    signal(state.pid, home, "SIGTERM");
    const deadline = Date.now() + PATIENCE_MS;
    const alive = (): number[] => pids.filter((pid) => isAlive(pid, home));
    for (let rest = alive(); rest.length > 0; rest = alive()) {
      if (!isAlive(state.pid, home)) for (const pid of rest) signal(pid, home, "SIGKILL");
      if (Date.now() > deadline)
        throw new FairleadError(`cannot end the processes ${rest.join(", ")} of cluster ${name}`, { code: "ETIMEDOUT" });
      await systemClock.sleep(POLL_MS);
    }
  }
  rmSync(home, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
}

function signal(pid: number, home: string, name: "SIGTERM" | "SIGKILL"): void {
  if (!isAlive(pid, home)) return;
  try {
    process.kill(pid, name);
  } catch {
    // It ended between the look and the signal.
  }
}
