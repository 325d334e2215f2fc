import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { type TestContext, test } from "node:test";
import { LogFile, removeLog, rotatedLogs } from "./log-file.ts";

function logPath(t: TestContext): string {
  const dir = mkdtempSync(`${tmpdir()}/fairlead-log-`);
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return `${dir}/c/0.log`;
}

test("a log is cut at its size, and so many files are kept", (t) => {
  const file = logPath(t);
  const log = new LogFile(file, { maxBytes: 30, maxFiles: 3 });
  for (let i = 0; i < 10; i++) log.write(Buffer.from(`line ${i} ....\n`), Date.UTC(2026, 0, 31, 23, 59, 59));
  log.close();
  const old = rotatedLogs(file);
  assert.deepEqual(
    old.map((path) => path.slice(file.length)),
    [".20260131-235959.001", ".20260131-235959.002"],
  );
  assert.deepEqual(
    [...old, file].map((path) => readFileSync(path, "utf8").match(/\d/g)?.join("") ?? ""),
    ["345", "678", "9"],
  );
});

test("a log that is there goes on, and counts", (t) => {
  const file = logPath(t);
  new LogFile(file).close();
  writeFileSync(file, "0123456789\n");
  const log = new LogFile(file, { maxBytes: 15, maxFiles: 2 });
  log.write(Buffer.from("abcd\n"), 0);
  log.write(Buffer.from("new\n"), 0);
  log.close();
  assert.equal(readFileSync(file, "utf8"), "new\n");
  assert.deepEqual(
    rotatedLogs(file).map((path) => readFileSync(path, "utf8")),
    ["0123456789\nabcd\n"],
  );
  removeLog(file);
  assert.deepEqual(readdirSync(file.slice(0, -"/0.log".length)), []);
  assert.deepEqual(rotatedLogs("/nowhere/0.log"), []);
});
