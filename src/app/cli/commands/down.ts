// `fairlead down`: ends a cluster and removes its files, whatever state it is in.
import { rmSync } from "node:fs";
import { FairleadError, systemClock } from "#base";
import { clusterHome, findCluster, listClusters } from "../home.ts";
import { processesOf } from "../processes.ts";
import { createSteps } from "../terminal.ts";

const PATIENCE_MS = 10_000;
const POLL_MS = 10;

export async function down(options: { name: string; all: boolean }): Promise<void> {
  const names = options.all ? listClusters().map((cluster) => cluster.name) : [options.name];
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

/**
 * Ends what lives of a cluster, waits until all is gone, and removes the directory. With the sandbox's first process the kernel ends
 * everything inside, so nothing needs to be asked to end.
 */
export async function removeCluster(name: string): Promise<void> {
  const home = clusterHome(name);
  const deadline = Date.now() + PATIENCE_MS;
  for (let rest = processesOf(home); rest.length > 0; rest = processesOf(home)) {
    if (Date.now() > deadline)
      throw new FairleadError(`cannot end the processes ${rest.join(", ")} of cluster ${name}`, { code: "ETIMEDOUT" });
    for (const pid of rest) kill(pid);
    await systemClock.sleep(POLL_MS);
  }
  rmSync(home, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended between the look and the signal.
  }
}
