// What the README tells people to type, typed.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { ROOT } from "../testing/cluster.ts";
import { findKubectls } from "../testing/kubectl.ts";

function shellBlocks(): string[] {
  const readme = readFileSync(`${ROOT}README.md`, "utf8");
  return Array.from(readme.matchAll(/```\n([\s\S]*?)```/g), (match) => match[1] ?? "");
}

test("the README's first cluster", { timeout: 120_000 }, () => {
  const block = shellBlocks().find((text) => text.startsWith("./fairlead up")) ?? "";
  assert.match(block, /fairlead down/, "the block is not where it was");
  const lines = block.split("\n").filter((line) => findKubectls().length > 0 || !line.startsWith("kubectl"));
  // Pods of the shop need a moment before the NodePort answers.
  const script = lines.join("\n").replace(/^curl /m, "curl --silent --fail --retry 60 --retry-delay 1 --retry-all-errors ");
  const home = mkdtempSync(`${tmpdir()}/fairlead-readme-`);
  const env = { ...process.env, FAIRLEAD_HOME: home, PATH: `${ROOT}node_modules/.bin:${process.env["PATH"] ?? ""}` };
  try {
    const result = spawnSync("sh", ["-exc", script], { cwd: ROOT, env, encoding: "utf8" });
    assert.equal(result.status, 0, `${result.stdout}${result.stderr}`);
    assert.match(result.stdout, /coredns-/);
    assert.match(result.stdout, /"role":"front"[\s\S]*"role":"store"/, result.stdout);
  } finally {
    spawnSync(`${ROOT}fairlead`, ["down", "--all"], { env });
    rmSync(home, { recursive: true, force: true });
  }
});
