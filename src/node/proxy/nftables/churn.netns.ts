// The same history as churn.test.ts, through a real kernel.
import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "#base";
import { createFakeClient } from "#client/fake";
import type { KubeObject } from "#kube";
import { netns, openNft } from "#linux";
import { Churn } from "../fixture-churn.ts";
import { canonical } from "../fixture-fake.ts";
import { type ServiceProxy, startProxy } from "../start.ts";
import { CIDRS, NODE } from "../testing.ts";

const CHANGES = 1000;

interface Running {
  readonly proxy: ServiceProxy;
  dump(): Record<string, string[]>;
  [Symbol.dispose](): void;
}

async function run(client: ReturnType<typeof createFakeClient>): Promise<Running> {
  const ns = netns.createAnonymous();
  const nft = openNft(ns);
  const proxy = startProxy({ client, netns: ns, node: NODE, ...CIDRS, logger: silentLogger });
  await proxy.synced;
  return {
    proxy,
    dump: () => canonical(nft),
    [Symbol.dispose]() {
      proxy.stop();
      nft.close();
      ns.close();
    },
  };
}

test("1,000 random changes on a running proxy end where a fresh start does", async (t) => {
  const seed = Number(process.env["FAIRLEAD_TEST_SEED"] ?? Math.floor(Math.random() * 2 ** 32));
  t.diagnostic(`seed ${seed}`);
  const client = createFakeClient();
  using running = await run(client);
  const churn = new Churn(client, seed);
  const checks = 4;
  for (let i = 0; i < checks; i++) {
    for (let n = 0; n < CHANGES / checks; n++) await churn.change();
    const objects: KubeObject[] = await churn.objects();
    using fresh = await run(createFakeClient(objects));
    const expected = JSON.stringify(fresh.dump());
    // What was written arrives with the watch, turns of the event loop later.
    for (let turn = 0; turn < 200 && JSON.stringify(running.dump()) !== expected; turn++) {
      await new Promise((resolve) => setImmediate(resolve));
      await running.proxy.idle();
    }
    assert.deepEqual(running.dump(), JSON.parse(expected), `seed ${seed}, after ${((i + 1) * CHANGES) / checks} changes`);
  }
  assert.equal(running.proxy.metrics.sync_failures_total, 0);
});
