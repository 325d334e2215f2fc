import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { type TestContext, test } from "node:test";

/** A test file that waits for ever, and leaves a file when it exits. */
function hangingFile(t: TestContext, ms: number): { readonly child: ChildProcess; readonly cleaned: () => boolean } {
  const dir = mkdtempSync(`${tmpdir()}/fairlead-deadline-`);
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const lines = [
    'import { writeFileSync } from "node:fs";',
    'process.on("exit", () => process.kill(process.pid, "SIGTERM"));',
    `process.on("exit", () => writeFileSync(${JSON.stringify(`${dir}/cleaned`)}, ""));`,
    "setInterval(() => {}, 1 << 30);",
    'process.stdout.write("waiting");',
    "await new Promise(() => {});",
  ];
  writeFileSync(`${dir}/hang.mjs`, lines.join("\n"));
  const deadline = new URL("./deadline.ts", import.meta.url).href;
  const env = { ...process.env, NODE_TEST_CONTEXT: "child", FAIRLEAD_TEST_FILE_MS: String(ms) };
  const child = spawn(process.execPath, ["--import", deadline, `${dir}/hang.mjs`], { env, stdio: ["ignore", "pipe", "pipe"] });
  return { child, cleaned: () => existsSync(`${dir}/cleaned`) };
}

test("a file that waits for ever is ended with a reason, and cleans up", async (t) => {
  const { child, cleaned } = hangingFile(t, 200);
  let text = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    text += chunk.toString();
  });
  assert.deepEqual(await once(child, "close"), [1, null]);
  assert.match(text, /hang\.mjs still runs after 0\.2 s/);
  assert.equal(cleaned(), true);
});

test("a file cleans up when it is told to end, however often", async (t) => {
  const { child, cleaned } = hangingFile(t, 0);
  await once(child.stdout ?? child, "data");
  child.kill("SIGTERM");
  assert.deepEqual(await once(child, "close"), [143, null]);
  assert.equal(cleaned(), true);
});
