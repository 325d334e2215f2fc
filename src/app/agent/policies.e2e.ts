// NetworkPolicies in a whole cluster, made by kubectl: between nodes, through Services and names, before a pod's first instruction, and while
// an agent is away.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { after, before, suite, test } from "node:test";
import type { Pod } from "kubernetes-types/core/v1";
import type { NetworkPolicySpec } from "kubernetes-types/networking/v1";
import { createInformer, type Informer } from "#client";
import { type ClusterNetworkPolicySpec, type KubeObject, NAMESPACES, PODS, SERVICES } from "#kube";
import { type CommandResult, command, startTestCluster, type TestCluster } from "../testing/cluster.ts";
import { findKubectls } from "../testing/kubectl.ts";
import { component } from "../testing/status.ts";
import { untilReady } from "../testing/watched.ts";

const PROTOCOLS = ["TCP", "UDP"] as const;
const SERVER_PORT = 8080;
/** Nothing is far in here: what is not answered by then is refused. */
const REFUSED_MS = 300;
const WITHIN_MS = 5000;

/** Which of the places, as [protocol, host, port], answer within a time: "yes" or "no" for each. */
const ASK = `
const [list, ms] = process.argv.slice(1);
const ask = ([protocol, host, port]) => new Promise((resolve) => {
  setTimeout(() => resolve("no"), Number(ms));
  if (protocol === "TCP") {
    const socket = require("node:net").connect(port, host, () => resolve("yes"));
    socket.on("error", (err) => resolve(err.code));
  } else {
    const socket = require("node:dgram").createSocket(host.includes(":") ? "udp6" : "udp4");
    socket.on("message", () => resolve("yes"));
    socket.on("error", (err) => resolve(err.code));
    socket.send("hostname", port, host);
  }
});
Promise.all(JSON.parse(list).map(ask)).then((said) => { console.log(said.join(" ")); process.exit(0); });`;

type Place = readonly [protocol: string, host: string, port: number];

/** Asks from its first instruction on, and again and again; prints each answer. */
const IMPATIENT = `
const [host, port] = process.argv.slice(1);
const ask = () => {
  const socket = require("node:net").connect({ port: Number(port), host, timeout: 200 }, () => { console.log("yes"); socket.destroy(); });
  socket.on("timeout", () => { console.log("no"); socket.destroy(); });
  socket.on("error", (err) => console.log(err.code));
  socket.on("close", ask);
};
ask();`;

interface Given {
  readonly namespace?: string;
  readonly nodeName: string;
}

function server(name: string, { namespace = "default", nodeName }: Given): KubeObject {
  const container = {
    name: "c",
    image: "agnhost",
    args: ["netexec", `--http-port=${SERVER_PORT}`, `--udp-port=${SERVER_PORT}`],
    ports: PROTOCOLS.map((protocol) => ({ name: `http-${protocol.toLowerCase()}`, containerPort: SERVER_PORT, protocol })),
    readinessProbe: { httpGet: { path: "/healthz", port: SERVER_PORT }, periodSeconds: 1, failureThreshold: 1 },
  };
  const spec = { nodeName, terminationGracePeriodSeconds: 0, containers: [container] };
  return { apiVersion: "v1", kind: "Pod", metadata: { name, namespace, labels: { app: name } }, spec } as KubeObject;
}

/** The newest one that is here. */
const found = findKubectls().at(-1);

suite("network policies", { skip: found === undefined ? "there is no kubectl on this machine" : false }, () => {
  const dir = mkdtempSync(`${tmpdir()}/fairlead-policies-`);
  const manifest = `${dir}/policy.json`;
  let cluster: TestCluster;
  let pods: Informer<Pod>;

  before(async () => {
    cluster = await startTestCluster({ name: "policies", flags: ["--nodes", "2"] });
    pods = createInformer(cluster.client, PODS);
    await cluster.client.create(NAMESPACES, {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name: "other", labels: { team: "other" } },
    });
    for (const name of ["server", "near"]) await cluster.client.create(PODS, server(name, { nodeName: "node-1" }));
    await cluster.client.create(PODS, server("far", { nodeName: "node-2" }));
    await cluster.client.create(PODS, server("guest", { namespace: "other", nodeName: "node-2" }));
    const ports = PROTOCOLS.map((protocol) => ({
      name: protocol.toLowerCase(),
      protocol,
      port: 80,
      targetPort: `http-${protocol.toLowerCase()}`,
    }));
    const spec = { selector: { app: "server" }, ipFamilyPolicy: "PreferDualStack", ports };
    await cluster.client.create(SERVICES, {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "server", namespace: "default" },
      spec,
    } as KubeObject);
    await Promise.all(["default/server", "default/near", "default/far", "other/guest"].map((key) => untilReady(pods, key)));
  });

  after(async () => {
    pods.stop();
    rmSync(dir, { recursive: true });
    await cluster[Symbol.asyncDispose]();
  });

  const ips = (key: string): string[] => (pods.get(key)?.status?.podIPs ?? []).map(({ ip }) => ip ?? "");

  /** The server's own addresses and its Service's: what is asked there is judged at the pod's port. */
  async function placesOf(protocols: readonly string[]): Promise<Place[]> {
    const { spec } = await cluster.client.get(SERVICES, { namespace: "default", name: "server" });
    const own = [
      ...ips("default/server").map((ip) => [ip, SERVER_PORT] as const),
      ...(spec?.clusterIPs ?? []).map((ip) => [ip, 80] as const),
    ];
    assert.equal(own.length, 4);
    return protocols.flatMap((protocol) => own.map(([host, port]) => [protocol, host, port] as const));
  }

  async function ask(from: string, places: readonly Place[], ms: number): Promise<string> {
    const [namespace = "", name = ""] = from.split("/");
    const args = ["--namespace", namespace, name, "--", "/node", "-e", ASK, JSON.stringify(places), String(ms)];
    const { code, stdout, stderr } = await cluster.fairlead("exec", ...args);
    assert.equal(code, 0, stderr);
    return stdout.trim();
  }

  /** Over both families, directly and through the Service; TCP and UDP unless told. A change may take a moment to come to all nodes. */
  async function expectReach(expected: Readonly<Record<string, boolean>>, protocols: readonly string[] = PROTOCOLS): Promise<void> {
    const places = await placesOf(protocols);
    const check = async ([from, isAllowed]: readonly [string, boolean]): Promise<void> => {
      const wanted = places.map(() => (isAllowed ? "yes" : "no")).join(" ");
      while ((await ask(from, places, isAllowed ? WITHIN_MS : REFUSED_MS)) !== wanted);
    };
    await Promise.all(Object.entries(expected).map(check));
    // Now that it is so, it stays so.
    for (const [from, isAllowed] of Object.entries(expected)) {
      const said = await ask(from, places, isAllowed ? WITHIN_MS : REFUSED_MS);
      assert.equal(said, places.map(() => (isAllowed ? "yes" : "no")).join(" "), `from ${from}`);
    }
  }

  const kubectl = (...args: string[]): Promise<CommandResult> => command(found?.path ?? "kubectl", args, cluster.env);

  function applyObject(object: object): Promise<CommandResult> {
    writeFileSync(manifest, JSON.stringify(object));
    return kubectl("apply", "-f", manifest);
  }

  async function apply(spec: NetworkPolicySpec): Promise<void> {
    const object = { apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", metadata: { name: "p", namespace: "default" }, spec };
    const { code, stderr } = await applyObject(object);
    assert.deepEqual([code, stderr], [0, ""]);
  }

  function applyCluster(name: string, spec: Partial<ClusterNetworkPolicySpec>): Promise<CommandResult> {
    const all = { tier: "Admin", priority: 100, subject: { namespaces: {} }, ...spec };
    return applyObject({ apiVersion: "policy.networking.k8s.io/v1alpha2", kind: "ClusterNetworkPolicy", metadata: { name }, spec: all });
  }

  const remove = async (): Promise<void> => assert.equal((await kubectl("delete", "networkpolicy", "p")).code, 0);

  const near = "default/near";
  const far = "default/far";
  const guest = "other/guest";
  const forServer = { podSelector: { matchLabels: { app: "server" } } };

  test("nothing is kept from anybody; then a default deny keeps all out, probes excepted; then it is taken back", async () => {
    await expectReach({ [near]: true, [far]: true, [guest]: true });
    await apply({ ...forServer, policyTypes: ["Ingress"] });
    await expectReach({ [near]: false, [far]: false, [guest]: false });
    const before = await untilReady(pods, "default/server");
    assert.equal(before.status?.containerStatuses?.[0]?.ready, true);
    await remove();
    await expectReach({ [near]: true, [far]: true, [guest]: true });
  });

  test("by label, by namespace, by block with an exception, by the name of a port", async () => {
    await apply({ ...forServer, ingress: [{ from: [{ podSelector: { matchLabels: { app: "far" } } }] }] });
    await expectReach({ [near]: false, [far]: true, [guest]: false });
    await apply({ ...forServer, ingress: [{ from: [{ namespaceSelector: { matchLabels: { team: "other" } } }] }] });
    await expectReach({ [near]: false, [far]: false, [guest]: true });
    const [four = "", six = ""] = ips(far);
    const blocks = [
      { ipBlock: { cidr: "10.244.0.0/16", except: [`${four}/32`] } },
      { ipBlock: { cidr: "fd00:10:244::/56", except: [`${six}/128`] } },
    ];
    await apply({ ...forServer, ingress: [{ from: blocks }] });
    await expectReach({ [near]: true, [far]: false, [guest]: true });
    await apply({ ...forServer, ingress: [{ ports: [{ port: "http-tcp" }] }] });
    await expectReach({ [near]: true, [far]: true }, ["TCP"]);
    await expectReach({ [near]: false, [far]: false }, ["UDP"]);
    await remove();
  });

  test("a label that comes and goes", async () => {
    await apply({ ...forServer, ingress: [{ from: [{ podSelector: { matchLabels: { friend: "yes" } } }] }] });
    await expectReach({ [far]: false });
    const label = (value: string | null): Promise<unknown> =>
      cluster.client.patch(
        PODS,
        { namespace: "default", name: "far" },
        { type: "merge", body: { metadata: { labels: { friend: value } } } },
      );
    await label("yes");
    await expectReach({ [far]: true, [near]: false });
    await label(null);
    await expectReach({ [far]: false });
    await remove();
  });

  test("egress: nowhere, then to names and one server", async () => {
    const forFar = { podSelector: { matchLabels: { app: "far" } }, policyTypes: ["Egress"] };
    await apply(forFar);
    await expectReach({ [far]: false, [near]: true });
    const dns = { namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "kube-system" } } };
    const dnsPorts = [
      { port: 53, protocol: "UDP" },
      { port: 53, protocol: "TCP" },
    ];
    await apply({
      ...forFar,
      egress: [
        { to: [dns], ports: dnsPorts },
        { to: [forServer], ports: [{ port: "http-tcp" }] },
      ],
    });
    await expectReach({ [far]: true }, ["TCP"]);
    assert.equal(await ask(far, [["TCP", "server", 80]], WITHIN_MS), "yes", "by its name");
    await expectReach({ [far]: false }, ["UDP"]);
    const [elsewhere = ""] = ips(guest);
    assert.equal(await ask(far, [["TCP", elsewhere, SERVER_PORT]], REFUSED_MS), "no");
    await remove();
  });

  test("a pod is isolated from its first instruction on", async () => {
    await apply({ podSelector: { matchLabels: { app: "impatient" } }, policyTypes: ["Egress"] });
    await expectReach({ [near]: true });
    const [ip = ""] = ips("default/server");
    for (let i = 0; i < 5; i++) {
      const name = `impatient-${i}`;
      const containers = [{ name: "c", image: "agnhost", command: ["/node", "-e", IMPATIENT, ip, String(SERVER_PORT)] }];
      const initContainers = [
        { name: "i", image: "agnhost", command: ["/node", "-e", ASK, JSON.stringify([["TCP", ip, SERVER_PORT]]), String(REFUSED_MS)] },
      ];
      const spec = { nodeName: `node-${1 + (i % 2)}`, terminationGracePeriodSeconds: 0, initContainers, containers };
      await cluster.client.create(PODS, {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name, namespace: "default", labels: { app: "impatient" } },
        spec,
      } as KubeObject);
    }
    for (let i = 0; i < 5; i++) {
      const name = `impatient-${i}`;
      await untilReady(pods, `default/${name}`);
      assert.equal((await cluster.fairlead("logs", name, "-c", "i")).stdout.trim(), "no", `${name}, init container`);
      let said = "";
      while (said.split("\n").length < 4) said = (await cluster.fairlead("logs", name, "-c", "c")).stdout;
      assert.ok(!said.includes("yes"), said);
    }
    // Without the policy they do get there: it is the policy that held them.
    await remove();
    while (!(await cluster.fairlead("logs", "impatient-0", "-c", "c")).stdout.includes("yes"));
    for (let i = 0; i < 5; i++) await cluster.client.delete(PODS, { namespace: "default", name: `impatient-${i}` });
  });

  test("ClusterNetworkPolicies: written, shown, explained and refused as custom resources are; enforced on all nodes", async () => {
    const subject = { pods: { namespaceSelector: {}, podSelector: { matchLabels: { app: "server" } } } };
    const fromOther = { namespaces: { matchLabels: { team: "other" } } };
    await apply({ ...forServer, ingress: [{ from: [{ podSelector: {} }] }] });
    const made = await applyCluster("guard", {
      subject,
      ingress: [
        { action: "Accept", from: [fromOther], protocols: [{ destinationNamedPort: "http-tcp" }] },
        { action: "Deny", name: "far", from: [{ pods: { podSelector: { matchLabels: { app: "far" } } } }] },
      ],
    });
    assert.deepEqual([made.code, made.stdout.trim()], [0, "clusternetworkpolicy.policy.networking.k8s.io/guard created"], made.stderr);
    await expectReach({ [near]: true, [guest]: true }, ["TCP"]);
    await expectReach({ [near]: true, [guest]: false }, ["UDP"]);
    await expectReach({ [far]: false });
    const list = await kubectl("get", "cnp");
    assert.match(list.stdout, /^NAME +TIER +PRIORITY +AGE *\nguard +Admin +100 +\S+ *\n$/);
    assert.match((await kubectl("describe", "cnp", "guard")).stdout, /Action: +Deny/);
    assert.match((await kubectl("explain", "clusternetworkpolicy.spec.tier")).stdout, /NetworkPolicies/);
    const changed = await applyCluster("guard", { subject, priority: 0, ingress: [{ action: "Pass", from: [{ namespaces: {} }] }] });
    assert.equal(changed.stdout.trim(), "clusternetworkpolicy.policy.networking.k8s.io/guard configured", changed.stderr);
    await expectReach({ [near]: true, [far]: true, [guest]: false });
    const bad = await applyCluster("bad", { subject, egress: [{ action: "Accept", to: [{ networks: ["10.0.0.0/33"] }] }] });
    assert.equal(bad.code, 1);
    assert.match(bad.stderr, /spec\.egress\[0\]\.to\[0\]\.networks\[0\]: Invalid value: "10\.0\.0\.0\/33": Invalid CIDR format provided/);
    await remove();
    const base = await applyCluster("base", { tier: "Baseline", subject, ingress: [{ action: "Deny", from: [{ namespaces: {} }] }] });
    assert.equal(base.code, 0, base.stderr);
    await expectReach({ [near]: false, [far]: false, [guest]: false });
    await untilReady(pods, "default/server");
    assert.equal((await kubectl("delete", "cnp", "guard", "base")).code, 0);
    await expectReach({ [near]: true, [far]: true, [guest]: true });
  });

  test("while the agent is killed and when the next one has come: closed stays closed, open stays open", async () => {
    await apply({ ...forServer, ingress: [{ from: [{ podSelector: { matchLabels: { app: "far" } } }] }] });
    await expectReach({ [near]: false, [far]: true });
    const [ip = ""] = ips("default/server");
    const old = await component(cluster, "agent", "node-1");
    process.kill(old.pid, "SIGKILL");
    let isBack = false;
    while (!isBack) {
      const state = await component(cluster, "agent", "node-1").catch(() => undefined);
      isBack = state?.state === "running" && state.pid !== old.pid;
      assert.equal(await ask(far, [["TCP", ip, SERVER_PORT]], WITHIN_MS), "yes");
    }
    // A pod more: the next agent has taken over before it lets pods in.
    await cluster.client.create(PODS, server("later", { nodeName: "node-1" }));
    await untilReady(pods, "default/later");
    await expectReach({ [near]: false, "default/later": false, [far]: true });
    await remove();
    await expectReach({ [near]: true });
  });
});
