import assert from "node:assert/strict";
import { test } from "node:test";
import { formatLogTime, LogLineEncoder, MAX_LINE_BYTES, parseLogLine } from "./cri-log.ts";

const NOW = Date.UTC(2026, 0, 1);

test("lines are written as the CRI log format has them", () => {
  const encoder = new LogLineEncoder("stdout");
  assert.equal(
    encoder.push(Buffer.from("one\ntwo\nthr"), NOW).toString(),
    "2026-01-01T00:00:00.000000000Z stdout F one\n2026-01-01T00:00:00.000000001Z stdout F two\n",
  );
  assert.equal(
    encoder.push(Buffer.from("ee\n\n"), NOW + 1).toString(),
    "2026-01-01T00:00:00.001000000Z stdout F three\n2026-01-01T00:00:00.001000001Z stdout F \n",
  );
  assert.equal(encoder.push(Buffer.from("rest"), NOW).toString(), "");
  assert.match(encoder.end(NOW).toString(), / stdout P rest\n$/);
  assert.equal(encoder.end(NOW).length, 0);
});

test("a long line is cut into parts", () => {
  const encoder = new LogLineEncoder("stderr");
  const text = `${"x".repeat(MAX_LINE_BYTES)}${"y".repeat(10)}\n`;
  const lines = encoder.push(Buffer.from(text), NOW).toString().trimEnd().split("\n");
  assert.deepEqual(
    lines.map((line) => parseLogLine(Buffer.from(line))?.full),
    [false, true],
  );
  assert.equal(lines.map((line) => parseLogLine(Buffer.from(line))?.text.toString()).join(""), text.trimEnd());
});

test("bytes that are no text survive", () => {
  const bytes = Buffer.of(0xff, 0x00, 0xfe);
  const out = new LogLineEncoder("stdout").push(Buffer.concat([bytes, Buffer.from("\n")]), NOW);
  assert.deepEqual(parseLogLine(out.subarray(0, -1))?.text, bytes);
});

test("log lines are parsed, others are refused", () => {
  assert.deepEqual(parseLogLine(Buffer.from("2026-01-01T00:00:00.5Z stderr P:x a b")), {
    time: "2026-01-01T00:00:00.5Z",
    stream: "stderr",
    full: false,
    text: Buffer.from("a b"),
  });
  for (const bad of ["", "x", "a b c d", "2026 stdout"]) assert.equal(parseLogLine(Buffer.from(bad)), undefined, bad);
  assert.equal(formatLogTime(NOW, 1_000_001), "2026-01-01T00:00:00.000000001Z");
});
