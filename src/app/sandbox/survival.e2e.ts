// What goes on when a process of ours is killed: transfers, pods, and every write that was acknowledged.
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { createInformer } from "#client";
import { CONFIG_MAPS, type KubeObject, PODS, SERVICES } from "#kube";
import { startTestCluster, type TestCluster } from "../testing/cluster.ts";
import { type ComponentJson, component } from "../testing/status.ts";

const HTTP = 8080;
const EXEC_MS = 20_000;

function object(kind: string, name: string, spec: object): KubeObject {
  return { apiVersion: "v1", kind, metadata: { name, namespace: "default", labels: { app: name } }, spec } as KubeObject;
}

async function ready(cluster: TestCluster, names: readonly string[]): Promise<void> {
  const pods = createInformer(cluster.client, PODS, { namespace: "default" });
  const done = Promise.withResolvers<void>();
  pods.subscribe(() => {
    const up = pods.list().filter((p) => p.status?.conditions?.some((c) => c.type === "Ready" && c.status === "True"));
    if (names.every((name) => up.some((p) => p.metadata.name === name))) done.resolve();
  });
  await done.promise;
  pods.stop();
}

/** Kills a component and waits until the supervisor's new one runs. */
async function killAndWait(cluster: TestCluster, name: string, node: string | null): Promise<ComponentJson> {
  const old = await component(cluster, name, node);
  process.kill(old.pid, "SIGKILL");
  for (;;) {
    const now = await component(cluster, name, node).catch(() => undefined);
    if (now !== undefined && now.restarts > old.restarts && now.state === "running" && now.pid !== old.pid) return now;
  }
}

suite("survival", () => {
  let cluster: TestCluster;
  before(async () => {
    cluster = await startTestCluster({ name: "survival", flags: ["--nodes", "2"] });
    const serve = {
      name: "serve",
      image: "agnhost",
      args: ["netexec", `--http-port=${HTTP}`],
      readinessProbe: { httpGet: { path: "/healthz", port: HTTP } },
    };
    const slow = `require("node:http").createServer((q, r) => { let n = 0; const t = setInterval(() => { r.write("x".repeat(1000)); if (++n === 60) { clearInterval(t); r.end(); } }, 50); }).listen(${HTTP}, "::")`;
    await cluster.client.create(
      PODS,
      object("Pod", "server", {
        nodeName: "node-2",
        containers: [{ name: "serve", image: "toolbox", command: ["/node", "-e", slow], readinessProbe: { tcpSocket: { port: HTTP } } }],
      }),
    );
    await cluster.client.create(PODS, object("Pod", "other", { nodeName: "node-2", containers: [serve] }));
    await cluster.client.create(
      PODS,
      object("Pod", "client", { nodeName: "node-1", containers: [{ name: "idle", image: "agnhost", args: ["pause"] }] }),
    );
    await cluster.client.create(
      SERVICES,
      object("Service", "server", { selector: { app: "server" }, ports: [{ port: 80, targetPort: HTTP }] }),
    );
    await ready(cluster, ["server", "other", "client"]);
  });
  after(async () => {
    await cluster[Symbol.asyncDispose]();
  });

  test("kill -9 of the agents does not interrupt a transfer through a Service, and new agents take over the pods", async () => {
    const before = await cluster.client.list(PODS, { namespace: "default" });
    const fetchAll = `fetch("http://server/").then((r) => r.text()).then((t) => process.stdout.write(String(t.length)))`;
    const transfer = cluster.fairlead("exec", "client", "--", "sh", "-c", `/node -e '${fetchAll}' > /tmp/result 2>&1 & echo started`);
    assert.equal((await transfer).stdout.trim(), "started");
    await Promise.all([killAndWait(cluster, "agent", "node-1"), killAndWait(cluster, "agent", "node-2")]);
    let result = "";
    while (result === "") {
      // The connection to a new agent's door may be refused for a moment.
      result = (await cluster.fairlead("exec", "client", "--", "cat", "/tmp/result")).stdout;
    }
    assert.equal(result, "60000");
    const now = await cluster.client.list(PODS, { namespace: "default" });
    const facts = (list: typeof now.items): unknown =>
      list.map((p) => [
        p.metadata.name,
        p.metadata.uid,
        p.status?.podIPs,
        p.status?.containerStatuses?.map((c) => [c.containerID, c.restartCount]),
      ]);
    assert.deepEqual(facts(now.items), facts(before.items), "pods, addresses and containers are the same");
  });

  test("new pods start after the agent was replaced", async () => {
    await cluster.client.create(
      PODS,
      object("Pod", "late", { nodeName: "node-1", containers: [{ name: "idle", image: "agnhost", args: ["pause"] }] }),
    );
    await ready(cluster, ["late"]);
  });

  test("pods that are being started when agents are killed become ready, and were never restarted", async () => {
    const names = Array.from({ length: 12 }, (_, i) => `burst-${i}`);
    const spec = (i: number): object => ({
      nodeName: `node-${(i % 2) + 1}`,
      restartPolicy: i % 3 === 0 ? "Never" : "Always",
      containers: [{ name: "idle", image: "agnhost", args: ["pause"] }],
    });
    await Promise.all(names.map((name, i) => cluster.client.create(PODS, object("Pod", name, spec(i)))));
    const watched = createInformer(cluster.client, PODS, { namespace: "default" });
    const begun = Promise.withResolvers<void>();
    // Some are done, some are not: that is when it hurts.
    watched.subscribe(({ object: pod }) => {
      if (names.includes(pod.metadata.name) && pod.status?.phase === "Running") begun.resolve();
    });
    await begun.promise;
    watched.stop();
    await Promise.all([killAndWait(cluster, "agent", "node-1"), killAndWait(cluster, "agent", "node-2")]);
    await ready(cluster, names);
    const { items } = await cluster.client.list(PODS, { namespace: "default" });
    const burst = items.filter(({ metadata }) => names.includes(metadata.name));
    assert.deepEqual(
      burst.map(({ status }) => status?.containerStatuses?.map(({ restartCount }) => restartCount)),
      names.map(() => [0]),
    );
    await Promise.all(
      names.map(async (name) => {
        const line = new RegExp(`\t${name}$`, "m");
        const end = Date.now() + EXEC_MS;
        // Ready may still be the word of the agent that was killed, and the container one that its successor starts anew.
        for (;;) {
          const { stdout, stderr } = await cluster.fairlead("exec", name, "--", "cat", "/etc/hosts");
          if (line.test(stdout)) return;
          assert.ok(Date.now() < end, stderr);
        }
      }),
    );
  });

  test("kill -9 of the API server loses no acknowledged write", async () => {
    const acknowledged: string[] = [];
    const abort = new AbortController();
    const writers = Array.from({ length: 4 }, async (_, writer) => {
      for (let i = 0; !abort.signal.aborted; i++) {
        const name = `w${writer}-${i}`;
        try {
          await cluster.client.create(CONFIG_MAPS, { metadata: { name, namespace: "default" }, data: { i: String(i) } });
          acknowledged.push(name);
        } catch {
          // Not acknowledged: it may be there or not.
        }
      }
    });
    while (acknowledged.length < 200) await new Promise((resolve) => setImmediate(resolve));
    await killAndWait(cluster, "apiserver", null);
    abort.abort();
    await Promise.all(writers);
    const { items } = await cluster.client.list(CONFIG_MAPS, { namespace: "default" });
    const stored = new Set(items.map((item) => item.metadata.name));
    assert.deepEqual(
      acknowledged.filter((name) => !stored.has(name)),
      [],
    );
  });

  test("a pod's traffic goes on while controllers are away, and what was missed is made good", async () => {
    const old = await component(cluster, "controllers", null);
    process.kill(old.pid, "SIGKILL");
    const result = await cluster.fairlead("exec", "client", "--", "/agnhost", "connect", "server:80", "--timeout=3s");
    assert.equal(result.code, 0, result.stderr);
  });
});
