// What an idle cluster costs: memory (sum of proportional set sizes) and processor time of control plane, nodes and DNS.
// usage: npm run bench idle -- [--seconds N] [--nodes N]
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { pssBytes, sandboxPids } from "../../src/app/cli/processes.ts";
import { startTestCluster } from "../../src/app/testing/cluster.ts";

const { values } = parseArgs({ options: { seconds: { type: "string", default: "60" }, nodes: { type: "string", default: "3" } } });

interface Component {
  readonly name: string;
  readonly node: string | null;
  readonly pid: number;
}

const TICKS_PER_SECOND = 100;

/** User and system time of a process so far, in seconds (proc_pid_stat(5), fields 14 and 15). */
function cpuSeconds(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
  } catch {
    return 0;
  }
}

await using cluster = await startTestCluster({ flags: ["--nodes", values.nodes] });
// Code that ran once at the start is collected only after a while.
await sleep(20_000);
const { stdout } = await cluster.fairlead("status", "-o", "json");
const { components } = JSON.parse(stdout) as { components: Component[] };
const pods = [...sandboxPids(cluster.sandboxPid()).values()].filter((pid) => !components.some((component) => component.pid === pid));
const rows = [
  ...components.map(({ name, node, pid }) => ({ name: node === null ? name : `${name} ${node}`, pids: [pid] })),
  { name: `pods (DNS), ${pods.length} processes`, pids: pods },
];
const before = rows.map(({ pids }) => pids.map(cpuSeconds));
const seconds = Number(values.seconds);
await sleep(seconds * 1000);
let memory = 0;
let cpu = 0;
console.log("component                     PSS (MiB)   CPU (% of one core)");
for (const [i, { name, pids }] of rows.entries()) {
  const mib = pids.reduce((sum, pid) => sum + pssBytes(pid), 0) / 2 ** 20;
  const used = pids.reduce((sum, pid, k) => sum + cpuSeconds(pid) - (before[i]?.[k] ?? 0), 0);
  memory += mib;
  cpu += used;
  console.log(`${name.padEnd(30)}${mib.toFixed(1).padStart(8)}${((used / seconds) * 100).toFixed(2).padStart(14)}`);
}
console.log(`${"sum".padEnd(30)}${memory.toFixed(1).padStart(8)}${((cpu / seconds) * 100).toFixed(2).padStart(14)}`);
