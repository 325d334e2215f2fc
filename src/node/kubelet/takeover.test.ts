// A kubelet that goes on where another one ended, with an API and a runtime in memory.
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { describe, test } from "node:test";
import { PODS } from "#kube";
import { isReady, KEY, podOf, until, useKubelet } from "./testing/fixture.ts";

const kubelet = useKubelet();

test("a new agent goes on with the pods that run: nothing is started or ended again", async () => {
  await kubelet.start().ready;
  const readinessProbe = { exec: { command: ["ok"] } };
  await kubelet.client.create(PODS, podOf({ containers: [{ name: "c", image: "x", readinessProbe }] }));
  const before = await kubelet.podWhere("ready", isReady);
  kubelet.kill();
  const calls = [...kubelet.runtime.calls];
  const writes = kubelet.client.writes.length;
  kubelet.runtime.onExec = () => {
    throw new Error("not answered yet");
  };
  await kubelet.start().ready;
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.deepEqual(kubelet.runtime.calls, calls);
  assert.deepEqual((await kubelet.client.get(PODS, KEY)).status, before.status);
  assert.ok(!kubelet.client.writes.slice(writes).some((write) => write.includes("pods")), kubelet.client.writes.slice(writes).join());
  kubelet.runtime.exit("c", 1);
  await until("restart", () => kubelet.runtime.calls.includes("start c/1"));
});

describe("an agent that ended while a pod was started", () => {
  test("between the sandbox and the rest: the next one makes hosts, volumes and containers", async () => {
    await kubelet.start().ready;
    kubelet.runtime.sandboxHeld = true;
    await kubelet.client.create(PODS, podOf());
    await until("sandbox", () => kubelet.runtime.calls.includes("sandbox web/0"));
    const { uid } = (await kubelet.client.get(PODS, KEY)).metadata;
    kubelet.kill();
    assert.equal(existsSync(`${kubelet.dir}/pods/${uid}/etc-hosts`), false);
    await kubelet.start().ready;
    await kubelet.podWhere("ready", isReady);
    assert.match(readFileSync(`${kubelet.dir}/pods/${uid}/etc-hosts`, "utf8"), /10\.244\.0\.1\tweb\n$/);
    assert.deepEqual(kubelet.runtime.calls, ["sandbox web/0", "start c/0"]);
  });

  test("between create and start of a container: it was not restarted, and is said to be created once", async () => {
    await kubelet.start().ready;
    kubelet.runtime.held.add("c");
    await kubelet.client.create(PODS, podOf({ restartPolicy: "Never" }));
    await until("created", () => kubelet.runtime.find("c")?.status.state === "created");
    kubelet.kill();
    await kubelet.start().ready;
    const pod = await kubelet.podWhere("ready", isReady);
    assert.equal(pod.status?.containerStatuses?.[0]?.restartCount, 0);
    assert.deepEqual(kubelet.runtime.calls, ["sandbox web/0", "start c/0"]);
    await until("events", async () => (await kubelet.events()).includes("Started: Started container c"));
    assert.equal((await kubelet.events()).filter((event) => event.startsWith("Created:")).length, 1);
  });

  test("what a pod has written into its /etc/hosts stays", async () => {
    await kubelet.start().ready;
    await kubelet.client.create(PODS, podOf());
    const pod = await kubelet.podWhere("ready", isReady);
    const file = `${kubelet.dir}/pods/${pod.metadata.uid}/etc-hosts`;
    writeFileSync(file, "10.0.0.1 mine\n");
    kubelet.kill();
    await kubelet.start().ready;
    kubelet.runtime.exit("c", 1);
    await kubelet.podWhere("restarted", (p) => isReady(p) && p.status?.containerStatuses?.[0]?.restartCount === 1);
    assert.equal(readFileSync(file, "utf8"), "10.0.0.1 mine\n");
  });
});
