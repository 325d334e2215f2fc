// Services at size: how long the flat layout takes to load, beside a chain per service and endpoint over the same netlink; how long a
// change of one EndpointSlice takes to reach the kernel then; what the process needs for it. Each size has a process of its own.
// usage: npm run bench services -- [--sizes 1000x2,10000x2,30000x2,5000x50] [--changes N] [--skip-chains] [--json]
import { spawnSync } from "node:child_process";
import { parseArgs } from "node:util";
import type { SizeResult } from "./size.ts";

const { values } = parseArgs({
  options: {
    sizes: { type: "string", default: "1000x2,10000x2,30000x2,5000x50" },
    changes: { type: "string", default: "200" },
    "skip-chains": { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});

/** As the agent is run: what is young is collected often, and for a short time. */
const FLAGS = ["--max-semi-space-size=2"];

const results = values.sizes.split(",").map(measure);
if (values.json) console.log(JSON.stringify(results, null, 2));
else print(results);

function measure(size: string): SizeResult {
  if (!/^\d+x\d+$/.test(size)) throw new Error(`--sizes: "${size}" is not SERVICESxENDPOINTS, for example 1000x2`);
  const isRoot = process.getuid?.() === 0;
  const script = new URL("size.ts", import.meta.url).pathname;
  const args = [size, values.changes, ...(values["skip-chains"] ? ["--skip-chains"] : [])];
  process.stderr.write(`# ${size} …\n`);
  const { status, stdout, error } = spawnSync(
    "unshare",
    [...(isRoot ? [] : ["--user", "--map-root-user"]), "--net", "--", process.execPath, ...FLAGS, script, ...args],
    { stdio: ["ignore", "pipe", "inherit"], encoding: "utf8" },
  );
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${size} ended with status ${status}`);
  return JSON.parse(stdout) as SizeResult;
}

function print(all: readonly SizeResult[]): void {
  const row = (name: string, cell: (result: SizeResult) => string): void => {
    console.log(name.padEnd(44) + all.map((result) => cell(result).padStart(14)).join(""));
  };
  const seconds = (ms: number | undefined): string => (ms === undefined ? "-" : `${(ms / 1000).toFixed(3)} s`);
  row("services x endpoints", ({ services, endpoints }) => `${services} x ${endpoints}`);
  row("elements in the kernel", ({ elements }) => String(elements));
  row("cold: start to complete (compile, load)", ({ coldMs }) => seconds(coldMs));
  row("  load alone", ({ loadMs }) => seconds(loadMs));
  row("chain per service and endpoint: load alone", ({ chainsMs }) => seconds(chainsMs));
  row("  chains : flat", ({ chainsMs, loadMs }) => (chainsMs === undefined ? "-" : `${(chainsMs / loadMs).toFixed(1)} times`));
  row("a new agent adopts what is there", ({ adoptMs }) => seconds(adoptMs));
  row("CPU of the cold start", ({ coldCpuMs }) => seconds(coldCpuMs));
  row("memory (RSS) after the cold start", ({ rssBytes }) => `${Math.round(rssBytes / 2 ** 20)} MiB`);
  for (const kind of Object.keys(all[0]?.changeMs ?? {})) {
    for (const p of ["p50", "p99", "max"] as const) {
      row(`${kind}: to the kernel, ${p}`, ({ changeMs }) => `${(changeMs[kind]?.[p] ?? Number.NaN).toFixed(2)} ms`);
    }
    row(`${kind}: CPU of it, p99`, ({ changeMs }) => `${(changeMs[kind]?.cpuP99 ?? Number.NaN).toFixed(2)} ms`);
    row(`${kind}: CPU each`, ({ changeMs }) => `${(changeMs[kind]?.cpu ?? Number.NaN).toFixed(2)} ms`);
  }
}
