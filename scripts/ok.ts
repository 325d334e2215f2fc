// Everything that can be said of the code in seconds: format, types, lint, dead code, rooms, unit tests.
import { spawnSync } from "node:child_process";

const root: string = new URL("..", import.meta.url).pathname;
const bin: string = `${root}node_modules/.bin/`;

const STEPS: readonly [string, string, ...string[]][] = [
  ["format", `${bin}biome`, "check", "."],
  ["types", `${bin}tsc`, "-p", "."],
  ["types of core", `${bin}tsc`, "-p", "src/core"],
  ["lint", `${bin}oxlint`, "--type-aware", "src", "scripts", "bench", "conformance"],
  ["dead code", `${bin}knip`, "--no-progress"],
  ["rooms and unit tests", `${bin}node`, "scripts/test.ts", "unit"],
];

let failed = 0;
for (const [name, command, ...args] of STEPS) {
  const start = performance.now();
  const result = spawnSync(command, args, { cwd: root, encoding: "utf8", maxBuffer: 1 << 26 });
  const ok = result.status === 0;
  console.log(`${ok ? "ok    " : "FAILED"} ${name} (${Math.round(performance.now() - start)} ms)`);
  // How many tests ran and how many were skipped; a failure prints everything anyway.
  if (ok) for (const [line] of result.stdout.matchAll(/^ℹ (?:pass|fail|skipped) \d+$/gm)) console.log(line);
  else {
    failed++;
    console.log(result.error?.message ?? `${result.stdout}${result.stderr}`);
  }
}
process.exit(failed === 0 ? 0 : 1);
