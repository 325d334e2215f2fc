// Runs the tests: `node scripts/test.ts [unit|netns|e2e ...] [--only TEXT]`; all kinds unless told.
//   unit   *.test.ts, *.prop.ts   no kernel, no root, seconds
//   netns  *.netns.ts             real kernel objects, in a user and network namespace of their own
//   e2e    *.e2e.ts               a whole cluster
// `--only TEXT` keeps the files whose path contains TEXT.
import { spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { parseArgs } from "node:util";

const root: string = new URL("..", import.meta.url).pathname;
const node: string = `${root}node_modules/.bin/node`;

const KINDS: Record<string, { patterns: string[]; inNamespace: boolean; concurrency: number; timeoutMs: number }> = {
  unit: { patterns: ["{src,scripts}/**/*.test.ts", "src/**/*.prop.ts"], inNamespace: false, concurrency: 2, timeoutMs: 60_000 },
  netns: { patterns: ["src/**/*.netns.ts"], inNamespace: true, concurrency: 1, timeoutMs: 120_000 },
  e2e: { patterns: ["src/**/*.e2e.ts", "examples/**/*.e2e.ts"], inNamespace: false, concurrency: 1, timeoutMs: 600_000 },
};

const { values, positionals } = parseArgs({ allowPositionals: true, options: { only: { type: "string", default: "" } } });
const kinds = positionals.length === 0 ? Object.keys(KINDS) : positionals;

let failed = false;
for (const name of kinds) {
  const kind = KINDS[name];
  if (kind === undefined) {
    console.error(`test: there is no kind "${name}"; there are: ${Object.keys(KINDS).join(", ")}`);
    process.exit(2);
  }
  const files = globSync(kind.patterns, { cwd: root })
    .filter((file) => file.includes(values.only))
    .sort();
  if (files.length === 0) continue;
  // Not for kinds that still have kernel objects to remove after a timeout.
  const fileMs = name === "unit" ? 2 * kind.timeoutMs : 0;
  const run = [
    node,
    "--test",
    "--import=./scripts/deadline.ts",
    `--test-concurrency=${kind.concurrency}`,
    `--test-timeout=${kind.timeoutMs}`,
    ...files,
  ];
  const isRoot = process.getuid?.() === 0;
  const wrap = kind.inNamespace ? ["unshare", ...(isRoot ? [] : ["--user", "--map-root-user"]), "--net", "--mount", "--"] : [];
  const [command = node, ...args] = [...wrap, ...run];
  console.log(`# ${name}: ${files.length} files`);
  const result = spawnSync(command, args, { cwd: root, stdio: "inherit", env: { ...process.env, FAIRLEAD_TEST_FILE_MS: String(fileMs) } });
  if (result.status !== 0) failed = true;
}
process.exit(failed ? 1 : 0);
