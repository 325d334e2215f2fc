// The components of a cluster, as `fairlead status -o json` tells them.
import type { TestCluster } from "./cluster.ts";

export interface ComponentJson {
  readonly name: string;
  readonly node: string | null;
  readonly pid: number;
  readonly state: string;
  readonly restarts: number;
  readonly pssBytes: number;
}

export async function component(cluster: TestCluster, name: string, node?: string | null): Promise<ComponentJson> {
  const { code, stdout, stderr } = await cluster.fairlead("status", "-o", "json");
  if (code !== 0) throw new Error(`fairlead status failed: ${stderr}`);
  const { components } = JSON.parse(stdout) as { components: ComponentJson[] };
  const found = components.find((c) => c.name === name && (node === undefined || c.node === node));
  if (found === undefined || found.pid < 2) throw new Error(`no process of ${name} in ${stdout}`);
  return found;
}
