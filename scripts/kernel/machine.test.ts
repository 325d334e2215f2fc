import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { markedStream } from "./end-mark.ts";
import { loadOrder } from "./initramfs.ts";

test("property: a stream is passed on up to its mark, however it is cut, and nothing is kept longer than it must", async () => {
  const mark = "\x1eend ";
  const cuts = fc.array(fc.nat({ max: 40 }), { maxLength: 6 });
  // Texts that are full of beginnings of the mark.
  const texts = fc.array(fc.constantFrom("\x1e", "\x1een", "\x1eend", "x", "\n"), { maxLength: 8 }).map((parts) => parts.join(""));
  await fc.assert(
    fc.asyncProperty(texts, cuts, fc.nat({ max: 255 }), async (text, at, status) => {
      const bytes = Buffer.from(`${text}${mark}${status}\nlater`);
      let passed = "";
      const stream = markedStream(mark, (chunk) => {
        passed += chunk.toString();
      });
      let from = 0;
      for (const to of [...at.toSorted((a, b) => a - b), bytes.length]) {
        stream.push(bytes.subarray(from, to));
        from = Math.max(from, Math.min(to, bytes.length));
        assert.ok(passed.length > Math.min(from, text.length) - mark.length);
      }
      assert.equal(await stream.status, status);
      stream.flush();
      assert.equal(passed, text);
    }),
  );
});

test("what was held back is passed on when there is no mark", () => {
  let passed = "";
  const stream = markedStream("\x1eend ", (chunk) => {
    passed += chunk.toString();
  });
  stream.push(Buffer.from("text\x1een"));
  assert.equal(passed, "text");
  stream.flush();
  assert.equal(passed, "text\x1een");
});

test("modules are loaded after those that they need, each once", () => {
  const dep = ["a/ring.ko:", "a/virtio.ko: a/ring.ko", "b/fs.ko: b/fuse.ko a/virtio.ko a/ring.ko", "b/fuse.ko:"].join("\n");
  assert.deepEqual(loadOrder(dep, ["virtio", "fs", "builtin"]), ["a/ring.ko", "a/virtio.ko", "b/fuse.ko", "b/fs.ko"]);
});
