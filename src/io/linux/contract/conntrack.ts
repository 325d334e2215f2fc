import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAddr } from "#ip";
import type { ConntrackSocket, Tuple } from "../types.ts";

const UDP = 17;

export interface ConntrackWorld {
  readonly conntrack: ConntrackSocket;
  /** Makes flows with these originals, replies the other way around, and 300 seconds to live. */
  readonly insert: (tuples: readonly Tuple[]) => void;
}

export function conntrackContract({ conntrack, insert }: ConntrackWorld): void {
  for (const [src, dst] of [
    ["10.0.0.1", "10.96.0.10"],
    ["fd00::1", "fd00:10:96::a"],
  ] as const) {
    test(`connections are listed and deleted: ${src}`, () => {
      const family = src.includes(":") ? 6 : 4;
      const tuple: Tuple = { src: parseAddr(src), dst: parseAddr(dst), protocol: UDP, srcPort: 40_000, dstPort: 53 };
      insert([tuple, { ...tuple, srcPort: 40_001 }]);
      const entries = conntrack.list(family);
      assert.equal(entries.length, 2);
      assert.equal(conntrack.use().count, 2);
      assert.ok(conntrack.use().max >= 0);
      const entry = entries.find((e) => e.original.srcPort === 40_000);
      assert.ok(entry !== undefined);
      assert.deepEqual(entry.original, tuple);
      assert.deepEqual(entry.reply.src, tuple.dst);
      assert.ok(entry.timeoutSeconds >= 295 && entry.timeoutSeconds <= 300, `${entry.timeoutSeconds}`);
      assert.equal(conntrack.list(family === 4 ? 6 : 4).length, 0, "the other family has none");
      assert.deepEqual(new Set(conntrack.list().map(({ id }) => id)), new Set(entries.map(({ id }) => id)), "both families at once");
      assert.equal(conntrack.del({ ...entry, id: entry.id ^ 0x7f00_0000 }), false, "another identifier is another flow");
      assert.equal(conntrack.del(entry), true);
      assert.equal(conntrack.del(entry), false);
      assert.equal(conntrack.delMany(entries), 1);
      assert.equal(conntrack.list(family).length, 0);
    });
  }
}
