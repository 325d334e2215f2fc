// `fairlead kubeconfig`: prints it, for KUBECONFIG=<(fairlead kubeconfig) and the like.
import { readFileSync } from "node:fs";
import { clusterPaths } from "#sandbox";
import { runningCluster } from "../home.ts";

export function printKubeconfig(name: string): void {
  process.stdout.write(readFileSync(clusterPaths(runningCluster(name).home).kubeconfig, "utf8"));
}
