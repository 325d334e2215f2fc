// The kubelet with the embedded runtime and real processes, against an API in memory. This file starts itself again in namespaces of
// its own, which end with everything that is left in them. (embedded.netns.ts of the runtime runs both as root and as an ordinary user.)
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { after, test } from "node:test";
import type { Pod, PodSpec } from "kubernetes-types/core/v1";
import { WebSocket } from "ws";
import { silentLogger } from "#base";
import { createFakeClient } from "#client/fake";
import { parsePrefix } from "#ip";
import { CONFIG_MAPS, PODS, type Stored } from "#kube";
import { netns, openRoute } from "#linux";
import { createEmbeddedRuntime, type ImageService, type PodNetwork, type RuntimeService } from "#runtime";
import { buildTestPrograms, removeTestPrograms } from "../runtime/testing/programs.ts";
import { startKubelet } from "./index.ts";

const INNER = process.env["FAIRLEAD_TEST_DIST"];
const NAMESPACES = ["--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc"];

if (INNER === undefined) {
  test("in namespaces of its own", async () => {
    const programs = await buildTestPrograms();
    try {
      const user = process.getuid?.() === 0 ? [] : ["--user", "--map-root-user"];
      const { NODE_TEST_CONTEXT: _, ...env } = process.env;
      const args = [...user, ...NAMESPACES, "--", process.execPath, "--test-reporter=spec", import.meta.filename];
      const result = spawnSync("unshare", args, {
        env: { ...env, FAIRLEAD_TEST_DIST: programs.distDir },
        encoding: "utf8",
        timeout: 60_000,
      });
      assert.equal(result.status, 0, `${result.stdout}${result.stderr}`);
    } finally {
      removeTestPrograms(programs);
    }
  });
} else inner(INNER);

/** A link from the node to each pod, so that probes reach it. */
function podNetwork(): PodNetwork {
  let count = 0;
  return {
    async add({ netns: pod }) {
      const n = ++count;
      const node = openRoute(netns.current());
      const inside = openRoute(pod);
      node.links.add({ name: `p${n}`, type: { kind: "veth", peer: { name: "eth0", netns: pod } }, up: true });
      node.addrs.set({ link: `p${n}`, prefix: parsePrefix(`10.9.${n}.1/30`) });
      inside.links.change("eth0", { up: true });
      inside.addrs.set({ link: "eth0", prefix: parsePrefix(`10.9.${n}.2/30`) });
      node.close();
      inside.close();
      return { ips: [`10.9.${n}.2`] };
    },
    async del() {},
  };
}

function inner(distDir: string): void {
  const dir = mkdtempSync(`${tmpdir()}/fairlead-kubelet-`);
  const client = createFakeClient();
  const network = podNetwork();
  const openRuntime = (): RuntimeService & ImageService =>
    createEmbeddedRuntime({ stateDir: `${dir}/runtime`, programs: { nodePath: process.execPath, distDir }, network, logger: silentLogger });
  let runtime = openRuntime();
  let stop = new AbortController();
  const start = (): Promise<void> =>
    startKubelet({
      client,
      runtime,
      nodeName: "node-1",
      nodeAddresses: ["127.0.0.1"],
      clusterDns: ["10.96.0.10"],
      clusterDomain: "cluster.local",
      nodeRoot: dir,
      kubeletToken: "t",
      logger: silentLogger,
      signal: stop.signal,
    }).ready;
  after(() => {
    stop.abort();
    runtime.close();
    rmSync(dir, { recursive: true, force: true });
  });

  const key = (name: string) => ({ namespace: "default", name });
  function podOf(name: string, spec: Partial<PodSpec>): Pod {
    return { apiVersion: "v1", kind: "Pod", metadata: key(name), spec: { nodeName: "node-1", containers: [], ...spec } };
  }
  async function podWhere(name: string, look: (pod: Stored<Pod>) => boolean): Promise<Stored<Pod>> {
    for (let i = 0; i < 2000; i++) {
      const pod = await client.get(PODS, key(name));
      if (look(pod)) return pod;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    throw new Error(JSON.stringify((await client.get(PODS, key(name))).status, undefined, 1));
  }
  const isReady = (pod: Stored<Pod>): boolean => pod.status?.conditions?.find(({ type }) => type === "Ready")?.status === "True";
  const HEADERS = { authorization: "Bearer t" };
  async function logs(name: string, query = ""): Promise<string> {
    return (await fetch(`http://127.0.0.1:10250/containerLogs/default/${name}/c${query}`, { headers: HEADERS })).text();
  }

  test("a pod becomes ready by its probe, serves logs and commands, and survives the agent", async () => {
    const loopback = openRoute(netns.current());
    loopback.links.change("lo", { up: true });
    loopback.close();
    await start();
    await client.create(CONFIG_MAPS, { metadata: { name: "settings", namespace: "default" }, data: { greeting: "hello" } });
    const readinessProbe = { httpGet: { path: "/hostname", port: "http" } };
    const container = {
      name: "c",
      image: "registry.k8s.io/e2e-test-images/agnhost:2.52",
      args: ["netexec", "--http-port=$(PORT)"],
      env: [{ name: "PORT", value: "8000" }],
      ports: [{ name: "http", containerPort: 8000 }],
      volumeMounts: [{ name: "v", mountPath: "/etc/settings" }],
      readinessProbe,
    };
    const created = performance.now();
    await client.create(PODS, podOf("web", { containers: [container], volumes: [{ name: "v", configMap: { name: "settings" } }] }));
    const before = await podWhere("web", isReady);
    console.log(`bound to Ready in ${(performance.now() - created).toFixed(0)} ms`);
    assert.equal(await (await fetch(`http://${before.status?.podIP}:8000/hostname`)).text(), "web");
    assert.match(await logs("web"), /Started HTTP server on port 8000\n/);
    assert.deepEqual(await exec("web", ["sh", "-c", "cat /etc/settings/greeting; exit 4"]), { stdout: "hello", code: "4" });

    stop.abort();
    runtime.close();
    stop = new AbortController();
    runtime = openRuntime();
    await start();
    assert.deepEqual((await client.get(PODS, key("web"))).status, before.status);
    assert.deepEqual(await exec("web", ["cat", "/etc/settings/greeting"]), { stdout: "hello", code: undefined });
    await client.delete(PODS, key("web"));
    while ((await client.list(PODS)).items.length > 0) await new Promise((resolve) => setTimeout(resolve, 5));
    assert.doesNotMatch(readFileSync("/proc/self/mounts", "utf8"), /netns nsfs/);
  });

  test("what a container says last is known, also of the one before", async () => {
    const command = ["sh", "-c", "echo run; echo why > /dev/termination-log; exit 3"];
    await client.create(PODS, podOf("crash", { containers: [{ name: "c", image: "toolbox", command }] }));
    const pod = await podWhere("crash", ({ status }) => status?.containerStatuses?.[0]?.restartCount === 1);
    await podWhere("crash", ({ status }) => status?.containerStatuses?.[0]?.state?.waiting?.reason === "CrashLoopBackOff");
    assert.equal(pod.status?.containerStatuses?.[0]?.lastState?.terminated?.message, "why");
    assert.equal(await logs("crash"), "run\n");
    assert.equal(await logs("crash", "?previous=true"), "run\n");
    await client.delete(PODS, key("crash"));
  });
}

async function exec(pod: string, command: readonly string[]): Promise<{ stdout: string; code: string | undefined }> {
  const query = new URLSearchParams([["output", "1"], ["error", "1"], ...command.map((word) => ["command", word] as [string, string])]);
  const url = `ws://127.0.0.1:10250/exec/default/${pod}/c?${query.toString()}`;
  const socket = new WebSocket(url, "v5.channel.k8s.io", { headers: { authorization: "Bearer t" } });
  const output: Record<number, string> = {};
  socket.on("message", (data: Buffer) => {
    output[data[0] ?? -1] = (output[data[0] ?? -1] ?? "") + data.subarray(1).toString();
  });
  await new Promise<void>((resolve, reject) => socket.once("close", resolve).once("error", reject));
  const status = JSON.parse(output[3] ?? "{}") as { details?: { causes?: { message: string }[] } };
  return { stdout: output[1] ?? "", code: status.details?.causes?.[0]?.message };
}
