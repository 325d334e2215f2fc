// `fairlead service` on a whole cluster: what people read, what programs read, and what is said when something is not there.
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { parse } from "yaml";
import { createInformer } from "#client";
import { ENDPOINT_SLICES, type KubeObject, PODS, SERVICES } from "#kube";
import type { ServiceReport } from "#proxy";
import { type CommandResult, startTestCluster, type TestCluster } from "../testing/cluster.ts";
import { component } from "../testing/status.ts";

const HTTP = 8080;
const NODE_PORT = 30_080;

function object(kind: string, name: string, spec: object): KubeObject {
  return { apiVersion: "v1", kind, metadata: { name, namespace: "default", labels: { app: "web" } }, spec } as KubeObject;
}

suite("fairlead service", () => {
  let cluster: TestCluster;

  before(async () => {
    cluster = await startTestCluster({ name: "service", flags: ["--nodes", "2", "--ip-family", "ipv4"] });
    const ports = [{ name: "http", port: 80, targetPort: HTTP }];
    const selector = { app: "web" };
    const services = {
      web: { type: "NodePort", selector, ports: [{ ...ports[0], nodePort: NODE_PORT }], sessionAffinity: "ClientIP" },
      near: { selector, ports, internalTrafficPolicy: "Local" },
      empty: { selector: { app: "nobody" }, ports },
      headless: { selector, ports, clusterIP: "None" },
      named: { type: "ExternalName", externalName: "www.example.com" },
    };
    for (const [name, spec] of Object.entries(services)) await cluster.client.create(SERVICES, object("Service", name, spec));
    const readinessProbe = { httpGet: { path: "/healthz", port: HTTP } };
    for (const i of [1, 2]) {
      const containers = [{ name: "serve", image: "agnhost", args: ["netexec", `--http-port=${HTTP}`], readinessProbe }];
      await cluster.client.create(PODS, object("Pod", `web-${i}`, { nodeName: `node-${i}`, containers }));
    }
    const slices = createInformer(cluster.client, ENDPOINT_SLICES, { namespace: "default" });
    const done = Promise.withResolvers<void>();
    slices.subscribe(() => {
      const full = slices.list().filter(({ endpoints }) => endpoints.filter(({ conditions }) => conditions?.ready).length === 2);
      if (full.length === 3) done.resolve();
    });
    await done.promise;
    slices.stop();
  });

  after(async () => {
    await cluster?.[Symbol.asyncDispose]();
  });

  const service = (...args: string[]): Promise<CommandResult> => cluster.fairlead("service", ...args);

  /** Until the nodes have been told: a command is faster than a watch. */
  async function until(isSo: (text: string) => boolean, ...args: string[]): Promise<string> {
    for (;;) {
      const { code, stdout, stderr } = await service(...args);
      assert.equal(code, 0, stderr);
      if (isSo(stdout)) return stdout;
    }
  }

  test("says of all nodes that do the same what they do, and for whom", async () => {
    const { spec } = await cluster.client.get(SERVICES, { namespace: "default", name: "web" });
    const clusterIp = (spec as { clusterIP: string }).clusterIP;
    const fetched = await cluster.inside("node-1", process.execPath, "-e", `fetch("http://${clusterIp}/hostname")`);
    assert.equal(fetched.code, 0, fetched.stderr);
    const text = await until((said) => /^node-1, node-2 {2}nftables$/m.test(said), "web");
    assert.match(text, /^Service default\/web {2}NodePort, affinity ClientIP 10800 s$/m);
    assert.match(text, new RegExp(`^  ${clusterIp}:80/TCP +ClusterIP +2$`, "m"));
    assert.match(text, /^ {2}<node's IPv4>:30080\/TCP +NodePort +2$/m);
    for (const i of [1, 2])
      assert.match(text, new RegExp(`^  http +10\\.244\\.${i}\\.\\d+:8080 +web-${i} +node-${i} +ready +in  \\(ready\\)$`, "m"));
    assert.match(
      text,
      new RegExp(`^  node-1 +\\S+ +${clusterIp}:80 +10\\.244\\.\\d\\.\\d+:8080 +10\\d\\d\\d s$`, "m"),
      "who is remembered",
    );
    assert.match(text, new RegExp(`^  node-1 +TCP +\\S+:\\d+ +${clusterIp}:80 +10\\.244\\.\\d\\.\\d+:8080 +\\d+ s$`, "m"), "and the flow");
  });

  test("and of nodes that differ what each does", async () => {
    const text = await until((said) => /POLICY LOCAL/.test(said), "near");
    for (const [i, other] of [
      [1, 2],
      [2, 1],
    ]) {
      assert.match(text, new RegExp(`^node-${i}  nftables$`, "m"));
      assert.match(text, new RegExp(`web-${i} +node-${i} +ready +in  \\(ready\\) +in  \\(ready, on this node\\)$`, "m"));
      assert.match(
        text,
        new RegExp(`web-${i} +node-${i} +ready +in  \\(ready\\) +out \\(on node-${i}\\)$`, "m"),
        `seen from node-${other}`,
      );
    }
  });

  test("why there is nobody, or nothing to do", async () => {
    assert.match((await service("empty")).stdout, /ClusterIP +none: refused$/m);
    const headless = (await service("headless")).stdout;
    assert.match(headless, /^Service default\/headless {2}headless$/m);
    assert.match(headless, /nothing to do: headless, DNS answers with the addresses of those that are ready/);
    assert.match(headless, /web-1 +node-1 +ready$/m);
    assert.match((await service("named")).stdout, /ExternalName\n[\s\S]*nothing to do: DNS answers with the name www\.example\.com/);
  });

  test("for programs: json and yaml, of one node", async () => {
    const { stdout } = await service("web", "--node", "node-2", "-o", "json");
    const reports = JSON.parse(stdout) as ServiceReport[];
    assert.deepEqual(
      reports.map(({ node, mode, service: name, backends }) => [node, mode, name, backends.length]),
      [["node-2", "nftables", "default/web", 2]],
    );
    const yaml = parse((await service("web", "-o", "yaml")).stdout) as ServiceReport[];
    assert.deepEqual(
      yaml.map(({ node }) => node),
      ["node-1", "node-2"],
    );
    assert.deepEqual(yaml[1]?.backends, reports[0]?.backends);
    assert.equal((await service("web", "-o", "wide")).code, 0);
  });

  test("what is not there is said, with exit code 1", async () => {
    const rows: readonly [readonly string[], RegExp][] = [
      [["nope"], /^error: services "nope" not found$/m],
      [["web", "-n", "kube-system"], /^error: services "web" not found$/m],
      [["web", "--node", "node-9"], /^error: there is no node "node-9"; there are: node-1, node-2$/m],
    ];
    for (const [args, says] of rows) {
      const { code, stdout, stderr } = await service(...args);
      assert.deepEqual([code, stdout], [1, ""], args.join(" "));
      assert.match(stderr, says);
    }
  });

  test("a node that does not answer keeps nobody from hearing of the others", async () => {
    const { pid } = await component(cluster, "agent", "node-2");
    process.kill(pid, "SIGSTOP");
    try {
      const { code, stdout } = await service("web");
      assert.equal(code, 1);
      assert.match(stdout, /^node-1 {2}nftables$/m);
      assert.match(stdout, /^node-2 {2}no answer within 5 s$/m);
    } finally {
      process.kill(pid, "SIGCONT");
    }
  });
});
