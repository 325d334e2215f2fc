import assert from "node:assert/strict";
import { test } from "node:test";
import { Churn } from "./fixture-churn.ts";
import { canonical, settle, start } from "./fixture-fake.ts";

const CHANGES = 1000;

test("1,000 random changes on a running proxy end where a fresh start does", async (t) => {
  const seed = Number(process.env["FAIRLEAD_TEST_SEED"] ?? Math.floor(Math.random() * 2 ** 32));
  t.diagnostic(`seed ${seed}`);
  const setup = await start([]);
  const churn = new Churn(setup.client, seed);
  const checks = 10;
  for (let i = 0; i < checks; i++) {
    for (let n = 0; n < CHANGES / checks; n++) await churn.change();
    const fresh = await start(await churn.objects());
    const expected = canonical(fresh.nft);
    await settle(setup, () => JSON.stringify(canonical(setup.nft)) === JSON.stringify(expected)).catch(() => {});
    assert.deepEqual(canonical(setup.nft), expected, `seed ${seed}, after ${((i + 1) * CHANGES) / checks} changes`);
    fresh.proxy.stop();
  }
  // What it thinks is in the kernel is what a comparison finds there.
  const before = setup.nft.transactions.length;
  await setup.proxy.resync();
  assert.equal(setup.nft.transactions.length, before);
  assert.equal(setup.proxy.metrics.sync_failures_total, 0);
  setup.proxy.stop();
});
