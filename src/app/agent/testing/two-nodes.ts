// The scenario of two-nodes.e2e.ts: run by it as the first process of its own namespaces. Prints what it measured; fails by throwing.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import type { Pod } from "kubernetes-types/core/v1";
import { createInformer, type Informer } from "#client";
import { hostPrefix, parseAddr } from "#ip";
import { NODES, PODS, type Stored } from "#kube";
import { type NetNs, openRoute } from "#linux";
import type { Component } from "../../sandbox/supervise.ts";
import { startTestCluster } from "./harness.ts";

const [home = assert.fail("no directory"), overlay] = process.argv.slice(2);
const cluster = await startTestCluster(home, { overlay: overlay === "host-gw" ? "host-gw" : "vxlan" });
const pods: Informer<Pod> = createInformer(cluster.client, PODS, { namespace: "default" });
process.on("exit", (code) => {
  if (code !== 0) showLogs();
});
setTimeout(() => {
  console.error("still waiting after 40 s");
  process.exit(1);
}, 40_000).unref();
console.log(`ready after (ms): ${JSON.stringify(cluster.readyMs)}`);

const created = performance.now();
for (const node of ["node-1", "node-2"]) await createPod(`on-${node}`, node);
const [one, two] = await Promise.all(["on-node-1", "on-node-2"].map(ready));
assert.ok(one !== undefined && two !== undefined);
console.log(`two pods ready after ${Math.round(performance.now() - created)} ms`);

await nodesAreReady();
for (const family of [0, 1]) assert.equal(dial(one, two, family), ipOf(one, family), "the source address is the pod's own");
for (const family of [0, 1]) assert.equal(dial(two, one, family), ipOf(two, family));

await survivesKill();
await adoptsAfterKill();
await deletesWhileDown();
await endsOnSigterm();
memory();
process.exit(0);

async function createPod(name: string, nodeName: string): Promise<void> {
  const readinessProbe = { httpGet: { path: "/", port: 8080 }, periodSeconds: 1 };
  const spec = {
    nodeName,
    terminationGracePeriodSeconds: 0,
    containers: [{ name: "c", image: "agnhost", args: ["netexec"], readinessProbe }],
  };
  await cluster.client.create(PODS, { metadata: { name, namespace: "default" }, spec });
}

/** Resolves as soon as the copy of the pods says so. */
function until<T>(check: () => T | undefined): Promise<T> {
  const { promise, resolve } = Promise.withResolvers<T>();
  pods.subscribe(look);
  function look(): void {
    const value = check();
    if (value !== undefined) resolve(value);
  }
  look();
  return promise;
}

function ready(name: string): Promise<Stored<Pod>> {
  return until(() => {
    const pod = pods.get(`default/${name}`);
    return pod?.status?.conditions?.some(({ status, type }) => type === "Ready" && status === "True") === true ? pod : undefined;
  });
}

async function nodesAreReady(): Promise<void> {
  const { items } = await cluster.client.list(NODES);
  for (const node of items) {
    assert.equal(node.status?.conditions?.find(({ type }) => type === "Ready")?.status, "True", node.metadata.name);
    assert.equal(node.spec?.podCIDRs?.length, 2);
  }
}

function ipOf(pod: Stored<Pod>, family: number): string {
  return pod.status?.podIPs?.[family]?.ip ?? assert.fail(`${pod.metadata.name} has no address number ${family}`);
}

function nodeOf(name: string): NetNs {
  return cluster.underlay.nodes.get(name) ?? assert.fail(name);
}

/** Lets `from` ask `to` for the address that it sees. */
function dial(from: Stored<Pod>, to: Stored<Pod>, family: number): string {
  const url = (ip: string): string => (ip.includes(":") ? `[${ip}]` : ip);
  const query = `host=${encodeURIComponent(ipOf(to, family))}&port=8080&request=clientip&protocol=http&tries=1`;
  const get = "fetch(process.argv[1]).then((r) => r.text()).then(console.log, (err) => { console.error(err); process.exit(1); })";
  const result = nodeOf(from.spec?.nodeName ?? "").run(() =>
    spawnSync(process.execPath, ["-e", get, `http://${url(ipOf(from, family))}:8080/dial?${query}`], { encoding: "utf8" }),
  );
  const answer = JSON.parse(result.stdout || "{}") as { responses?: string[]; errors?: string[] };
  const [seen = assert.fail(`${from.metadata.name} got no answer from ${to.metadata.name}: ${result.stdout}${result.stderr}`)] =
    answer.responses ?? [];
  return seen.replace(/^\[?(.*?)\]?:\d+$/, "$1");
}

function agent(node: string): Component {
  return cluster.components.get(`agent-${node}`) ?? assert.fail(node);
}

/** The kernel goes on without an agent. */
async function survivesKill(): Promise<void> {
  assert.ok(one !== undefined && two !== undefined);
  for (const node of ["node-1", "node-2"]) process.kill(agent(node).pid, "SIGKILL");
  for (const family of [0, 1]) assert.equal(dial(one, two, family), ipOf(one, family));
}

/** The next agent takes the pods over, connects new ones beside them, and gives no address twice. */
async function adoptsAfterKill(): Promise<void> {
  assert.ok(one !== undefined && two !== undefined);
  const start = performance.now();
  await createPod("later", "node-1");
  const later = await ready("later");
  console.log(`a pod of the next agent is ready ${Math.round(performance.now() - start)} ms after kill -9 of the last`);
  for (const family of [0, 1]) {
    assert.equal(dial(later, two, family), ipOf(later, family));
    assert.equal(dial(later, one, family), ipOf(later, family), "on the same node");
    assert.equal(dial(one, two, family), ipOf(one, family));
  }
  assert.equal(pods.get("default/on-node-1")?.status?.containerStatuses?.[0]?.restartCount, 0);
  assert.equal(readdirSync(`${cluster.home}/nodes/node-1/ipam/leases`).length, 4);
}

/** What was deleted while no agent ran is gone when the next one is up. */
async function deletesWhileDown(): Promise<void> {
  assert.ok(one !== undefined);
  process.kill(agent("node-1").pid, "SIGKILL");
  await cluster.client.delete(PODS, { namespace: "default", name: "on-node-1" }, { gracePeriodSeconds: 0 });
  await until(() => (pods.get("default/on-node-1") === undefined ? true : undefined));
  await createPod("last", "node-1");
  await ready("last");
  const route = openRoute(nodeOf("node-1"));
  const gone = ipOf(one, 0);
  const links = route.links.list().filter(({ name }) => name.startsWith("veth"));
  const known = route.neighs.list("cni0").some(({ addr }) => hostPrefix(addr).addr.bytes.join() === parseAddr(gone).bytes.join());
  route.close();
  assert.deepEqual([links.length, known], [2, false]);
  assert.ok(!readdirSync(`${cluster.home}/nodes/node-1/ipam/leases`).includes(gone));
}

async function endsOnSigterm(): Promise<void> {
  const component = agent("node-2");
  const { pid } = component;
  const start = performance.now();
  component.stop();
  while (component.pid === pid) await new Promise((resolve) => setTimeout(resolve, 5));
  const ms = Math.round(performance.now() - start);
  console.log(`an agent ends ${ms} ms after SIGTERM`);
  assert.ok(ms < 300, `${ms} ms`);
  for (const family of [0, 1]) {
    const [last, peer] = [pods.get("default/last"), pods.get("default/on-node-2")];
    assert.ok(last !== undefined && peer !== undefined);
    assert.equal(dial(last, peer, family), ipOf(last, family));
  }
}

function memory(): void {
  for (const [id, { pid }] of cluster.components) {
    if (pid === 0) continue;
    const kib = /^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1];
    console.log(`${id}: ${Math.round(Number(kib) / 1024)} MiB PSS`);
  }
}

function showLogs(): void {
  for (const file of readdirSync(`${home}/logs`)) {
    const lines = readFileSync(`${home}/logs/${file}`, "utf8").trimEnd().split("\n");
    console.error(`--- ${file}\n${lines.slice(-15).join("\n")}`);
  }
}
