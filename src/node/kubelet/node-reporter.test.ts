import assert from "node:assert/strict";
import { test } from "node:test";
import { type Clock, silentLogger } from "#base";
import { createFakeClient } from "#client/fake";
import { NODES } from "#kube";
import type { NodeFacts } from "./node-object.ts";
import { NodeReporter } from "./node-reporter.ts";

const MACHINE: NodeFacts["machine"] = {
  architecture: "amd64",
  bootId: "b",
  cpus: 2,
  diskBytes: 1 << 30,
  kernelVersion: "6",
  machineId: "m",
  memoryBytes: 1 << 30,
  osImage: "o",
  runtimeVersion: "r",
};

/** A clock whose sleepers wake when the test says so. */
function heldClock(): Clock & { wake(ms: number): void } {
  let sleepers: { ms: number; resolve: () => void }[] = [];
  return {
    now: () => 0,
    sleep: (ms) => new Promise((resolve) => sleepers.push({ ms, resolve })),
    wake(ms) {
      const due = sleepers.filter((sleeper) => sleeper.ms === ms);
      sleepers = sleepers.filter((sleeper) => sleeper.ms !== ms);
      for (const { resolve } of due) resolve();
    },
  };
}

const RENEW_MS = 10_000;

async function reporting() {
  const client = createFakeClient();
  const clock = heldClock();
  const abort = new AbortController();
  const facts = { name: "n", addresses: ["10.0.0.1"], labels: {}, port: 10250, machine: MACHINE };
  const reporter = new NodeReporter({ client, facts, clock, logger: silentLogger, signal: abort.signal });
  await reporter.start();
  await reporter.setReady();
  const ready = async (): Promise<string | undefined> => {
    const node = await client.get(NODES, { name: "n" }).catch(() => undefined);
    return node?.status?.conditions?.find((condition) => condition.type === "Ready")?.status;
  };
  async function becomesReady(): Promise<void> {
    for (let i = 0; i < 200 && (await ready()) !== "True"; i++) {
      clock.wake(RENEW_MS);
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal(await ready(), "True");
  }
  return { client, abort, becomesReady };
}

test("a node that was called lost says that it is ready with its next sign of life", async () => {
  const { client, abort, becomesReady } = await reporting();
  await becomesReady();
  const lost = [{ type: "Ready", status: "Unknown", reason: "NodeStatusUnknown" }];
  await client.patch(NODES, { name: "n" }, { type: "merge", body: { status: { conditions: lost } } }, { subresource: "status" });
  await becomesReady();
  abort.abort();
});

test("a node whose object was deleted registers again", async () => {
  const { client, abort, becomesReady } = await reporting();
  await becomesReady();
  await client.delete(NODES, { name: "n" });
  await becomesReady();
  abort.abort();
});
