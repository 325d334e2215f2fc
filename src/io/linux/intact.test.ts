import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "#base";
import { watchIntact } from "./intact.ts";

/** `looks`: what each look finds; after the last one it is over. */
async function watch(looks: readonly (boolean | Error)[]): Promise<{ readonly repairs: number; readonly warnings: readonly string[] }> {
  const end = new AbortController();
  const rest = [...looks];
  const warnings: string[] = [];
  let repairs = 0;
  await watchIntact(
    {
      what: "rules",
      async isIntact() {
        const found = rest.shift();
        if (rest.length === 0) setImmediate(() => end.abort());
        if (found instanceof Error) throw found;
        return found ?? true;
      },
      async repair() {
        repairs++;
      },
      everyMs: 1,
      logger: { ...silentLogger, warn: (message) => void warnings.push(message) },
    },
    end.signal,
  );
  assert.deepEqual(rest, []);
  return { repairs, warnings };
}

test("rules that are there are left alone", async () => {
  assert.deepEqual(await watch([true, true, true]), { repairs: 0, warnings: [] });
});

test("rules that are gone are written again each time, and the log says so", async () => {
  const { repairs, warnings } = await watch([true, false, true, false, true]);
  assert.equal(repairs, 2);
  assert.equal(warnings.length, 2);
});

test("where it cannot be said nothing is done, and the log says it once", async () => {
  const unsure = new Error("others have the lock");
  const { repairs, warnings } = await watch([unsure, unsure, unsure, true, unsure, true]);
  assert.equal(repairs, 0);
  assert.equal(warnings.length, 2);
});
