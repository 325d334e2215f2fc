// `fairlead watch drops` and `fairlead explain` on a whole cluster: from a refused packet to the policy, the rule and what it would take.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { after, before, suite, test } from "node:test";
import { createInformer } from "#client";
import { type KubeObject, NETWORK_POLICIES, PODS } from "#kube";
import type { Drop } from "#policy";
import { command, ROOT, startTestCluster, type TestCluster } from "../testing/cluster.ts";
import { untilReady } from "../testing/watched.ts";

const PORT = 8080;

/** Asks once and ends a little later, answered or not. */
const ASK = `
const [host, port] = process.argv.slice(1);
const socket = require("node:net").connect(Number(port), host, () => { console.log("yes"); process.exit(); });
setTimeout(() => process.exit(), 500);`;

suite("fairlead watch drops, fairlead explain", () => {
  let cluster: TestCluster;
  let ip: string;

  before(async () => {
    cluster = await startTestCluster({ name: "drops", flags: ["--nodes", "2"] });
    const pods = createInformer(cluster.client, PODS);
    for (const [name, nodeName] of [
      ["server", "node-1"],
      ["far", "node-2"],
    ] as const) {
      const containers = [{ name: "c", image: "agnhost", args: ["netexec", `--http-port=${PORT}`] }];
      const spec = { nodeName, terminationGracePeriodSeconds: 0, containers };
      await cluster.client.create(PODS, {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name, namespace: "default", labels: { app: name } },
        spec,
      } as KubeObject);
    }
    const [server] = await Promise.all(["server", "far"].map((name) => untilReady(pods, `default/${name}`)));
    ip = server?.status?.podIP ?? assert.fail();
    pods.stop();
    await cluster.client.create(NETWORK_POLICIES, {
      apiVersion: "networking.k8s.io/v1",
      kind: "NetworkPolicy",
      metadata: { name: "closed", namespace: "default" },
      spec: {
        podSelector: { matchLabels: { app: "server" } },
        ingress: [{ from: [{ podSelector: { matchLabels: { app: "friend" } } }], ports: [{ port: PORT }] }],
      },
    });
  });

  after(async () => {
    await cluster?.[Symbol.asyncDispose]();
  });

  const ask = (): Promise<{ stdout: string }> => cluster.fairlead("exec", "far", "--", "/node", "-e", ASK, ip, String(PORT));

  test("a refused connection is told of, and explained; Ctrl-C ends without a failure", async () => {
    const watch = spawn(`${ROOT}fairlead`, ["watch", "drops", "--name", cluster.name, "-n", "default", "-o", "json"], { env: cluster.env });
    await once(watch.stderr, "data");
    let told: string | undefined;
    createInterface({ input: watch.stdout }).once("line", (line) => {
      told = line;
    });
    // Until the node has been told of the policy, it is answered.
    while (told === undefined) await ask();
    const drop = JSON.parse(told) as Drop;
    const { node, direction, protocol, policies, to, from } = drop;
    assert.deepEqual([node, direction, protocol, policies], ["node-1", "ingress", "TCP", ["default/closed"]]);
    assert.deepEqual([to, from.pod], [{ addr: ip, port: PORT, pod: "default/server" }, "default/far"]);

    const explained = await explain(told);
    for (const said of ["default/far", "NetworkPolicy default/closed isolates pod default/server", "label pod default/far app=friend"])
      assert.ok(explained.stdout.includes(said), explained.stdout);
    assert.equal(explained.code, 1);

    watch.kill("SIGINT");
    assert.deepEqual(await once(watch, "exit"), [0, null]);
  });

  test("the same by names; what is allowed; what is not there", async () => {
    const refused = await cluster.fairlead("explain", "far", `server:${PORT}`, "-o", "json");
    assert.equal(refused.code, 1);
    assert.equal((JSON.parse(refused.stdout) as { allowed: boolean }).allowed, false);
    const allowed = await cluster.fairlead("explain", "server", `far:${PORT}`);
    assert.deepEqual([allowed.code, /policies allow it now/.test(allowed.stdout)], [0, true]);
    const nobody = await cluster.fairlead("explain", "nobody", "far");
    assert.match(nobody.stderr, /there is no pod default\/nobody/);
    for (const to of ["10.96.0.1:443", "svc/kubernetes:443"]) {
      const service = await cluster.fairlead("explain", "server", to);
      assert.deepEqual([service.code, /policies judge the pod behind it/.test(service.stderr)], [2, true], to);
    }
    const last = ["--name", cluster.name, "--node", "node-2", "--count", "1", "--timeout", "1"];
    const late = await command(`${ROOT}fairlead`, ["watch", "drops", ...last], cluster.env);
    assert.equal(late.code, 1, late.stderr);
  });

  function explain(line: string): Promise<{ code: number | null; stdout: string }> {
    const { promise, resolve } = Promise.withResolvers<{ code: number | null; stdout: string }>();
    const child = execFile(`${ROOT}fairlead`, ["explain", "-", "--name", cluster.name], { env: cluster.env }, (_, stdout) =>
      resolve({ code: child.exitCode, stdout }),
    );
    child.stdin?.end(line);
    return promise;
  }
});
