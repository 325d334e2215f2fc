// What the README tells people to type, typed.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { ROOT } from "../testing/cluster.ts";

function shellBlocks(): string[] {
  const readme = readFileSync(`${ROOT}README.md`, "utf8");
  return Array.from(readme.matchAll(/```\n([\s\S]*?)```/g), (match) => match[1] ?? "");
}

test("the README's first cluster", { timeout: 120_000 }, (t) => {
  const block = shellBlocks().find((text) => text.startsWith("./fairlead up")) ?? "";
  assert.match(block, /fairlead down/, "the block is not where it was");
  const missing = ["kubectl", "curl"].filter((tool) => spawnSync("sh", ["-c", `command -v ${tool}`]).status !== 0);
  for (const tool of missing) t.diagnostic(`without its ${tool} line: there is no ${tool} on this machine`);
  const lines = block.split("\n").filter((line) => !missing.some((tool) => line.startsWith(tool)));
  // Pods of the shop need a moment before the NodePort answers.
  const script = lines.join("\n").replace(/^curl /m, "curl --silent --fail --retry 60 --retry-delay 1 --retry-all-errors ");
  const home = mkdtempSync(`${tmpdir()}/fairlead-readme-`);
  const env = { ...process.env, FAIRLEAD_HOME: home, PATH: `${ROOT}node_modules/.bin:${process.env["PATH"] ?? ""}` };
  try {
    const result = spawnSync("sh", ["-exc", script], { cwd: ROOT, env, encoding: "utf8" });
    assert.equal(result.status, 0, `${result.stdout}${result.stderr}`);
    if (!missing.includes("kubectl")) assert.match(result.stdout, /coredns-/);
    if (!missing.includes("curl")) assert.match(result.stdout, /"role":"front"[\s\S]*"role":"store"/, result.stdout);
  } finally {
    spawnSync(`${ROOT}fairlead`, ["down", "--all"], { env });
    rmSync(home, { recursive: true, force: true });
  }
});
