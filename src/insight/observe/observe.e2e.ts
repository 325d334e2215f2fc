// Reports, probes and watches of a whole cluster: what the model foresees from the reports is what probes meet, and a packet is seen on
// all of its way between two nodes.
import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import { after, before, suite, test } from "node:test";
import type { Pod, Service } from "kubernetes-types/core/v1";
import { createInformer, type Informer } from "#client";
import { formatAddr, parseAddr } from "#ip";
import { type KubeObject, NETWORK_POLICIES, PODS, SERVICES } from "#kube";
import { type Network, prepareNetwork, roundTrips, TCP, UDP } from "#model";
import { clusterPaths, sandboxObserver } from "#sandbox";
import { startTestCluster, type TestCluster } from "../../app/testing/cluster.ts";
import { untilReady } from "../../app/testing/watched.ts";
import {
  decodeJson,
  decodeReport,
  decodeSighting,
  encodeJson,
  mergeReports,
  type NodeReport,
  type Place,
  type ProbeRequest,
  type ProbeResult,
  type Sighting,
} from "./index.ts";

const PORT = 8080;
const NODES = ["node-1", "node-2"] as const;

function agnhost(name: string, nodeName: string, args: readonly string[]): KubeObject {
  const spec = { nodeName, terminationGracePeriodSeconds: 0, containers: [{ name: "c", image: "agnhost", args }] };
  return { apiVersion: "v1", kind: "Pod", metadata: { name, namespace: "default", labels: { app: name } }, spec } as KubeObject;
}

suite("observing a cluster", () => {
  let cluster: TestCluster;
  let pods: Informer<Pod>;
  let vip = "";
  let nodePort = 0;

  before(async () => {
    cluster = await startTestCluster({ name: "observe", flags: ["--nodes", "2"] });
    const { client } = cluster;
    pods = createInformer(client, PODS);
    const policy = { podSelector: { matchLabels: { app: "closed" } }, policyTypes: ["Ingress"] };
    const deny = {
      apiVersion: "networking.k8s.io/v1",
      kind: "NetworkPolicy",
      metadata: { name: "deny", namespace: "default" },
      spec: policy,
    };
    await client.create(NETWORK_POLICIES, deny as KubeObject);
    const serve = ["netexec", `--http-port=${PORT}`, `--udp-port=${PORT}`];
    for (const pod of [agnhost("client", "node-1", ["pause"]), agnhost("server", "node-2", serve), agnhost("closed", "node-2", serve)]) {
      await client.create(PODS, pod);
    }
    const service = {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "server", namespace: "default" },
      spec: { type: "NodePort", selector: { app: "server" }, ports: [{ port: 80, targetPort: PORT }] },
    } as Service;
    const { spec } = await client.create(SERVICES, service);
    vip = spec?.clusterIP ?? "";
    nodePort = spec?.ports?.[0]?.nodePort ?? 0;
    for (const name of ["client", "server", "closed"]) await untilReady(pods, `default/${name}`);
  });

  after(async () => {
    pods.stop();
    await cluster[Symbol.asyncDispose]();
  });

  const ipOf = (name: string): string => pods.get(`default/${name}`)?.status?.podIP ?? "";
  const sandbox = (): ReturnType<typeof sandboxObserver> => sandboxObserver(clusterPaths(cluster.home).controlSocket);

  async function ask(node: string, page: string, body?: unknown): Promise<unknown> {
    const path = `/api/v1/nodes/${node}/proxy/debug/${page}`;
    const method = body === undefined ? "GET" : "POST";
    const answer = await cluster.client.raw({ method, path, op: `ask ${node}`, ...(body !== undefined && { body }) });
    assert.equal(answer.status, 200, answer.body.toString());
    return JSON.parse(answer.body.toString());
  }

  async function reports(): Promise<NodeReport[]> {
    const own = decodeReport(await sandbox().network(AbortSignal.timeout(10_000)));
    return [...(await Promise.all(NODES.map(async (node) => decodeReport(await ask(node, "network"))))), own];
  }

  async function readNetwork(): Promise<Network> {
    const all = await reports();
    assert.deepEqual(
      all.flatMap(({ problems }) => problems),
      [],
    );
    return prepareNetwork(mergeReports(all));
  }

  async function send(request: ProbeRequest): Promise<ProbeResult> {
    const body = encodeJson(request);
    const { from } = request;
    const answer = from.kind === "outside" ? await sandbox().probe(body, AbortSignal.timeout(10_000)) : await ask("node-1", "probe", body);
    return decodeJson(answer) as ProbeResult;
  }

  const CLIENT: Place = { kind: "pod", namespace: "default", name: "client" };

  test("what the model foresees from the reports is what probes meet", async () => {
    let network = await readNetwork();
    // The endpoint comes to all nodes a moment after the pod is ready.
    const services = [
      { from: "default/client", dst: parseAddr(vip), dstPort: 80 },
      { from: "outside", dst: parseAddr("172.18.0.11"), dstPort: nodePort },
    ];
    while (!services.every((way) => foreseen(network, { ...way, protocol: TCP }) === "answered")) network = await readNetwork();
    const node: Place = { kind: "node", name: "node-1" };
    const asked: readonly (readonly [from: Place, protocol: "tcp" | "udp", dst: string, port: number])[] = [
      [CLIENT, "tcp", ipOf("server"), PORT],
      [CLIENT, "udp", ipOf("server"), PORT],
      [CLIENT, "tcp", ipOf("server"), 81],
      [CLIENT, "udp", ipOf("server"), 81],
      [CLIENT, "tcp", vip, 80],
      [CLIENT, "tcp", ipOf("closed"), PORT],
      [node, "tcp", ipOf("server"), PORT],
      [node, "tcp", ipOf("closed"), PORT],
      [{ kind: "outside" }, "tcp", "172.18.0.11", nodePort],
      [{ kind: "outside" }, "tcp", ipOf("server"), PORT],
    ];
    const met: string[] = [];
    for (const [from, protocol, text, dstPort] of asked) {
      const dst = parseAddr(text);
      const expected = foreseen(network, { from: nameOf(from), protocol: protocol === "tcp" ? TCP : UDP, dst, dstPort });
      const timeoutMs = expected === "silence" ? 300 : 5000;
      const { outcome } = await send({ from, protocol, dst, dstPort, payload: Buffer.from("hostname"), timeoutMs });
      assert.equal(outcome, expected, `${nameOf(from)} to ${text}:${dstPort}`);
      met.push(outcome);
    }
    assert.deepEqual(met, [
      "answered",
      "answered",
      "refused",
      "refused",
      "answered",
      "silence",
      "answered",
      "silence",
      "answered",
      "refused",
    ]);
  });

  test("a packet is seen on its way between nodes, with the rules that it meets", async () => {
    const stop = new AbortController();
    const body = encodeJson({ match: { protocol: "tcp", addrs: [parseAddr(ipOf("server"))], ports: [PORT] }, seconds: 20 });
    const seen: Sighting[] = [];
    const wanted = new Set([
      "default/server in eth0",
      "default/server out eth0",
      "node-1 out eth0",
      "node-2 in eth0",
      "node-2 out cni0",
      "node-2 fairlead-policy",
      "underlay in node-1",
      "underlay out node-2",
    ]);
    const complete = Promise.withResolvers<void>();
    const armed: Promise<void>[] = [];
    const watch = async (lines: AsyncIterable<unknown>, isArmed: () => void): Promise<void> => {
      for await (const line of lines) {
        const sighting = decodeSighting(line);
        seen.push(sighting);
        if (sighting.kind === "armed") isArmed();
        if (sighting.kind === "capture") wanted.delete(`${sighting.namespace} ${sighting.direction} ${sighting.link}`);
        if (sighting.kind === "trace") wanted.delete(`${sighting.namespace} ${sighting.table}`);
        if (wanted.size === 0) complete.resolve();
      }
    };
    const begin = (lines: AsyncIterable<unknown>): Promise<void> => {
      const { promise, resolve } = Promise.withResolvers<void>();
      armed.push(promise);
      return watch(lines, resolve).catch((err: unknown) => assert.ok(stop.signal.aborted, String(err)));
    };
    const watches = NODES.map(async (node) => {
      const path = `/api/v1/nodes/${node}/proxy/debug/packets`;
      const stream = await cluster.client.stream({ method: "POST", path, op: "watch", body, signal: stop.signal });
      return { ended: begin(jsonLines(createInterface({ input: stream }))) };
    });
    const streams = await Promise.all(watches);
    const own = begin(sandbox().packets(body, stop.signal));
    await Promise.all(armed);
    const { outcome } = await send({ from: CLIENT, protocol: "tcp", dst: parseAddr(vip), dstPort: 80, timeoutMs: 5000 });
    assert.equal(outcome, "answered");
    const ended = Promise.all([...streams.map((stream) => stream.ended), own]);
    await Promise.race([complete.promise, ended]);
    assert.deepEqual([...wanted], [], "not seen");
    stop.abort();
    await ended;
    const syn = seen.find(
      (one) =>
        one.kind === "capture" && one.link === "eth0" && one.namespace === "node-1" && one.packet.vxlan?.inner.tcp?.flags.includes("SYN"),
    );
    assert.ok(syn?.kind === "capture" && syn.packet.vxlan?.inner.ip !== undefined);
    assert.equal(formatAddr(syn.packet.vxlan.inner.ip.src), ipOf("client"));
  });

  test("what makes no sense is refused with the field, and places that are not there too", async () => {
    const post = async (page: string, body: unknown): Promise<string> => {
      const path = `/api/v1/nodes/node-1/proxy/debug/${page}`;
      const { status, body: text } = await cluster.client.raw({ method: "POST", path, op: "ask", body });
      return `${status} ${text.toString()}`;
    };
    const dst = { $ip: "10.0.0.1" };
    assert.match(
      await post("probe", { from: { kind: "node", name: "node-1" }, protocol: "gre", dst }),
      /^400 .*protocol: is none of tcp, udp, sctp, icmp/,
    );
    assert.match(await post("probe", { from: { kind: "node", name: "node-1" }, protocol: "tcp", dst }), /^400 .*dstPort: is needed/);
    assert.match(
      await post("probe", { from: { kind: "pod", namespace: "default", name: "nix" }, protocol: "icmp", dst }),
      /^400 .*no pod "default\/nix" running on node-1/,
    );
    assert.match(
      await post("packets", { match: { protocol: "tcp", ports: [1] }, seconds: 601 }),
      /^400 .*seconds: is not a whole number from 0 to 600/,
    );
    await assert.rejects(
      sandbox().probe(encodeJson({ from: { kind: "node", name: "node-1" }, protocol: "icmp", dst }), AbortSignal.timeout(5000)),
      /no node "node-1" running on sandbox/,
    );
  });
});

function nameOf(from: Place): string {
  return from.kind === "pod" ? `${from.namespace}/${from.name}` : from.kind === "node" ? from.name : from.kind;
}

/** All ways that it can go end alike. */
function foreseen(network: Network, question: Parameters<typeof roundTrips>[1]): string {
  const kinds = new Set(roundTrips(network, question).map(({ result }) => result.outcome.kind));
  assert.equal(kinds.size, 1, [...kinds].join());
  return [...kinds].join();
}

async function* jsonLines(lines: AsyncIterable<string>): AsyncGenerator<unknown> {
  for await (const line of lines) yield JSON.parse(line);
}
