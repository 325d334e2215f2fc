import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { AttrReader, MessageWriter, splitMessages } from "./index.ts";

/** Sequence numbers count up over the whole process; here they are made 0. */
function hexOf(w: MessageWriter): string {
  const bytes = Buffer.from(w.bytes());
  for (const message of splitMessages(bytes, bytes.length)) bytes.writeUInt32LE(0, message.start + 8);
  return bytes.toString("hex");
}

test("a message of every kind of field and attribute, byte for byte", () => {
  const w = new MessageWriter(1);
  w.begin(0x10, 0x600);
  w.putU8(1).putU16(0x0302).putU8(4).putU16be(0x0506).putU16(0).putU32(0x0b0a0908).putU32be(0x0c0d0e0f);
  w.u8(1, 0xff).u16(2, 0x0102).u16be(3, 0x0102).u32(4, 0x01020304).u32be(5, 0x01020304);
  w.u64(6, 1n)
    .u64be(7, 1)
    .string(8, "eth0")
    .attrBytes(9, Uint8Array.of(1, 2, 3, 4, 5))
    .flag(10);
  w.nest(11, () => w.u8(1, 7));
  w.end();
  assert.equal(
    hexOf(w),
    [
      "88000000 1000 0106 00000000 00000000", // length, type, NLM_F_REQUEST added, sequence, port
      "01 0203 04 0506 0000 08090a0b 0c0d0e0f",
      "0500 0100 ff000000",
      "0600 0200 02010000",
      "0600 0300 01020000",
      "0800 0400 04030201",
      "0800 0500 01020304",
      "0c00 0600 0100000000000000",
      "0c00 0700 0000000000000001",
      "0900 0800 6574683000000000",
      "0900 0900 0102030405000000",
      "0400 0a00",
      "0c00 0b80 0500 0100 07000000", // NLA_F_NESTED
    ]
      .join("")
      .replaceAll(" ", ""),
  );
});

test("messages follow each other aligned, each with a number of its own", () => {
  const w = new MessageWriter(1);
  const first = w.begin(1, 0);
  w.putU8(9).end();
  const second = w.begin(2, 0);
  w.end();
  assert.equal(w.messages, 2);
  assert.equal(w.lastSeq, second);
  assert.notEqual(first, second);
  const messages = [...splitMessages(w.buffer, w.byteLength)];
  assert.deepEqual(
    messages.map((m) => [m.type, m.seq, m.start, m.end]),
    [
      [1, first, 0, 17],
      [2, second, 20, 36],
    ],
  );
});

test("what is written is read back", () => {
  const values = fc.array(
    fc.record(
      { type: fc.integer({ min: 1, max: 0x3fff }), bytes: fc.uint8Array({ maxLength: 70 }), nested: fc.boolean() },
      { noNullPrototype: true },
    ),
  );
  fc.assert(
    fc.property(values, (attrs) => {
      const w = new MessageWriter(1);
      w.begin(1, 0);
      for (const { type, bytes, nested } of attrs) {
        if (nested) w.nest(type, () => w.attrBytes(1, bytes));
        else w.attrBytes(type, bytes);
      }
      w.end();
      const [message] = splitMessages(w.buffer, w.byteLength);
      const reader = message?.attrs(0);
      const seen: { type: number; bytes: Uint8Array; nested: boolean }[] = [];
      for (const { nested } of attrs) {
        if (reader?.next() !== true) break;
        const type = reader.type;
        const inner = nested ? reader.nested() : reader;
        if (nested) assert.ok(inner.next());
        seen.push({ type, bytes: inner.bytes(), nested });
      }
      assert.equal(reader?.next(), false);
      assert.deepEqual(seen, attrs);
    }),
  );
});

test("broken lengths end the reading, and nothing is read beyond the end", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const buf = Buffer.from(bytes);
      for (const message of splitMessages(buf, buf.length)) {
        assert.ok(message.end <= buf.length);
        const attrs = message.attrs(0);
        while (attrs.next()) assert.ok(attrs.stop <= message.end && attrs.start <= attrs.stop);
      }
      const attrs = new AttrReader(buf, 0, buf.length);
      while (attrs.next()) {
        assert.ok(attrs.bytes().length === attrs.length && attrs.stop <= buf.length);
        attrs.string();
      }
    }),
  );
});
