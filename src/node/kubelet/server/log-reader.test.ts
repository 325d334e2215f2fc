// A log that is followed while it is cut into files.
import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { readLog } from "./log-reader.ts";

const line = (text: string): string => `2026-01-01T00:00:00.000000000Z stdout F ${text}\n`;
const FOLLOW = { follow: true, timestamps: false, tailLines: -1, sinceMs: undefined, limitBytes: -1 };

test("following goes on in the next files, also in those that came and went unseen", async (t) => {
  const dir = mkdtempSync(`${tmpdir()}/fairlead-log-reader-`);
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const file = `${dir}/0.log`;
  writeFileSync(file, line("1"));
  const ended = Promise.withResolvers<void>();
  const texts = readLog(file, FOLLOW, ended.promise, new AbortController().signal);
  const next = async (): Promise<string> => String((await texts.next()).value);
  assert.equal(await next(), "1\n");

  appendFileSync(file, line("2"));
  renameSync(file, `${file}.a`);
  writeFileSync(file, line("3"));
  assert.equal(await next(), "2\n");
  assert.equal(await next(), "3\n");

  renameSync(file, `${file}.b`);
  for (const [name, text] of [
    ["c", "4"],
    ["d", "5"],
  ]) {
    writeFileSync(file, line(text ?? ""));
    renameSync(file, `${file}.${name}`);
  }
  writeFileSync(file, line("6"));
  for (const text of ["4\n", "5\n", "6\n"]) assert.equal(await next(), text);

  // The one that is read is removed before it was left.
  renameSync(file, `${file}.e`);
  rmSync(`${file}.e`);
  for (const name of ["a", "b", "c", "d"]) rmSync(`${file}.${name}`);
  writeFileSync(file, line("7"));
  assert.equal(await next(), "7\n");
  ended.resolve();
  assert.equal((await texts.next()).done, true);
});
