// Runs the tests: `node scripts/test.ts [unit|netns|kernel|e2e ...] [--only TEXT]`; all kinds unless told.
//   unit   *.test.ts, *.prop.ts   no kernel, no root, seconds
//   netns  *.netns.ts             real kernel objects, in a user and network namespace of their own
//   kernel *.kernel.ts            and some of netns, in another kernel, in a virtual machine (scripts/kernel)
//   e2e    *.e2e.ts               a whole cluster
// `--only TEXT` keeps the files whose path contains TEXT.
import { spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { parseArgs } from "node:util";
import { IN_KERNEL, NO_MACHINE, runInKernel } from "./kernel/index.ts";

const root: string = new URL("..", import.meta.url).pathname;
const node: string = `${root}node_modules/.bin/node`;

/** Tests of the netns kind that an older kernel may answer differently. */
const ALSO_IN_OLD_KERNEL: readonly string[] = [
  "src/io/linux/contract/kernel.netns.ts",
  "src/io/linux/nftables/nftables.netns.ts",
  "src/io/linux/conntrack.netns.ts",
  "src/io/linux/nftables/trace.netns.ts",
  "src/insight/observe/watch.netns.ts",
  "src/node/{overlay,portmap}/*.netns.ts",
  "src/node/policy/policy.netns.ts",
];

interface Kind {
  readonly patterns: readonly string[];
  readonly where: "here" | "namespace" | "kernel";
  readonly concurrency: number;
  readonly timeoutMs: number;
}

const KINDS: Readonly<Record<string, Kind>> = {
  unit: { patterns: ["{src,scripts,conformance}/**/*.test.ts", "src/**/*.prop.ts"], where: "here", concurrency: 2, timeoutMs: 60_000 },
  netns: { patterns: ["src/**/*.netns.ts"], where: "namespace", concurrency: 1, timeoutMs: 120_000 },
  kernel: { patterns: ["src/**/*.kernel.ts", ...ALSO_IN_OLD_KERNEL], where: "kernel", concurrency: 1, timeoutMs: 600_000 },
  e2e: { patterns: ["src/**/*.e2e.ts", "examples/**/*.e2e.ts"], where: "here", concurrency: 1, timeoutMs: 600_000 },
};

const { values, positionals } = parseArgs({ allowPositionals: true, options: { only: { type: "string", default: "" } } });
const kinds = positionals.length === 0 ? Object.keys(KINDS) : positionals;

function run(kind: Kind, command: readonly string[], env: Readonly<Record<string, string>>): number | null | Promise<number> {
  if (kind.where === "kernel") return runInKernel(command, { env, timeoutMs: 1_800_000 });
  const isRoot = process.getuid?.() === 0;
  const wrap = kind.where === "namespace" ? ["unshare", ...(isRoot ? [] : ["--user", "--map-root-user"]), "--net", "--mount", "--"] : [];
  const [program = node, ...args] = [...wrap, ...command];
  return spawnSync(program, args, { stdio: "inherit", env: { ...process.env, ...env } }).status;
}

process.chdir(root);
let failed = false;
for (const name of kinds) {
  const kind = KINDS[name];
  if (kind === undefined) {
    console.error(`test: there is no kind "${name}"; there are: ${Object.keys(KINDS).join(", ")}`);
    process.exit(2);
  }
  const files = globSync([...kind.patterns])
    .filter((file) => file.includes(values.only))
    .sort();
  if (files.length === 0) continue;
  // Files of slow kinds have many tests, of which each may take its time.
  const fileMs = (name === "netns" || name === "e2e" ? 4 : 2) * kind.timeoutMs;
  const limits = [`--test-concurrency=${kind.concurrency}`, `--test-timeout=${kind.timeoutMs}`];
  console.log(`# ${name}: ${files.length} files`);
  const command = [node, ...(kind.where === "kernel" ? IN_KERNEL : []), "--test", "--import=./scripts/deadline.ts", ...limits, ...files];
  const status = await run(kind, command, { FAIRLEAD_TEST_FILE_MS: String(fileMs) });
  if (status !== 0 && status !== NO_MACHINE) failed = true;
}
process.exit(failed ? 1 : 0);
