// The cluster of the matrix: nine pods of three namespaces on two nodes, a Service in each namespace, and a gate that opens when the agents
// have heard of a change.
import type { ChildProcess } from "node:child_process";
import { createInterface, type Interface } from "node:readline";
import type { Pod } from "kubernetes-types/core/v1";
import { type Client, createInformer } from "#client";
import { type KubeObject, PODS, type Stored } from "#kube";
import { applyObject } from "../../src/app/cli/commands/apply.ts";
import { ROOT, startTestCluster, type TestCluster } from "../../src/app/testing/cluster.ts";
import { untilReady } from "../../src/app/testing/watched.ts";
import { PODS_OF } from "./changes.ts";
import type { Order, Probe } from "./protocol.ts";

export const TCP_PORTS = [80, 81] as const;
export const UDP_PORTS = [80] as const;
const NAMESPACES = ["x", "y", "z"];
const MARKER = "marker";

export class MatrixCluster implements AsyncDisposable {
  readonly cluster: TestCluster;
  readonly #prober: ChildProcess;
  readonly #answers: AsyncIterator<string>;
  readonly #gates: readonly Stored<Pod>[];
  #generation = 0;

  private constructor(cluster: TestCluster, { prober, gates }: { readonly prober: ChildProcess; readonly gates: readonly Stored<Pod>[] }) {
    this.cluster = cluster;
    this.#prober = prober;
    this.#gates = gates;
    if (prober.stdout === null) throw new Error("the prober has no output");
    const lines: Interface = createInterface({ input: prober.stdout });
    this.#answers = lines[Symbol.asyncIterator]();
  }

  static async start(): Promise<MatrixCluster> {
    const cluster = await startTestCluster({ name: `whatif-${process.pid}`, flags: ["--nodes", "2"] });
    try {
      for (const object of objects()) await applyObject(cluster.client, object);
      const stop = new AbortController();
      const informer = createInformer(cluster.client, PODS, { signal: stop.signal });
      const wanted = [...NAMESPACES.flatMap((namespace) => PODS_OF.map((name) => `${namespace}/${name}`)), `${MARKER}/m1`, `${MARKER}/m2`];
      const pods = await Promise.all(wanted.map((key) => untilReady(informer, key)));
      stop.abort();
      informer.stop();
      const prober = cluster.spawnInside("node-1", process.execPath, `${ROOT}matrix/whatif/main.ts`, "prober", `${cluster.home}/**/netns`);
      const made = new MatrixCluster(cluster, { prober, gates: pods.slice(-2) });
      await made.#order({ serve: { addresses: pods.flatMap(addrsOf), tcp: TCP_PORTS, udp: UDP_PORTS } });
      return made;
    } catch (err) {
      await cluster[Symbol.asyncDispose]();
      throw err;
    }
  }

  get client(): Client {
    return this.cluster.client;
  }

  /** In their order: whether an answer came. The gate must be open. */
  ask(probes: readonly Probe[], timeoutMs: number): Promise<boolean[]> {
    return this.#order({ ask: probes, controls: this.#gateProbes(), timeoutMs });
  }

  #gateProbes(): Probe[] {
    const [a = "", b = ""] = this.#gates.map((pod) => addrsOf(pod)[0]);
    return TCP_PORTS.flatMap((port) => [
      { from: a, to: b, protocol: "tcp", port },
      { from: b, to: a, protocol: "tcp", port },
    ]);
  }

  /**
   * Resolves when both agents have heard of all policies of both kinds and all labels of pods and namespaces that were written before: each
   * watch tells in order, and the gate opens when all four have told its own.
   */
  async passGate(): Promise<void> {
    const labels = { generation: `g${++this.#generation}` };
    await applyObject(this.client, { apiVersion: "v1", kind: "Namespace", metadata: { name: MARKER, labels } });
    for (const { metadata } of this.#gates) {
      const body = { metadata: { labels } };
      await this.client.patch(PODS, { namespace: MARKER, name: metadata.name }, { type: "merge", body });
    }
    const peer = { namespaceSelector: { matchLabels: labels }, podSelector: { matchLabels: labels } };
    for (const object of [tierOf(peer), policyOf({ podSelector: {}, ingress: [{ from: [peer] }] })]) await applyObject(this.client, object);
    const ask = this.#gateProbes();
    for (let tries = 0; tries < 100; tries++) if ((await this.#order({ ask, timeoutMs: 200 })).every(Boolean)) return;
    throw new Error("the agents have not heard of a policy within 20 s");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#prober.stdin?.end();
    await this.cluster[Symbol.asyncDispose]();
  }

  async #order(order: Order): Promise<boolean[]> {
    this.#prober.stdin?.write(`${JSON.stringify(order)}\n`);
    const { value, done } = await this.#answers.next();
    if (done === true) throw new Error("the prober has ended");
    return JSON.parse(value) as boolean[];
  }
}

function addrsOf({ status }: Pod): string[] {
  return (status?.podIPs ?? []).flatMap(({ ip }) => ip ?? []);
}

/** Asked before all others: the gate's port 80 is its own affair, and 81 is the NetworkPolicy's. */
function tierOf(peer: object): KubeObject {
  const own = { namespaces: { matchLabels: { "kubernetes.io/metadata.name": MARKER } } };
  const tcp = (number: number): object => ({ tcp: { destinationPort: { number } } });
  const ingress = [
    { action: "Accept", from: [{ pods: peer }], protocols: [tcp(80)] },
    { action: "Pass", from: [own], protocols: [tcp(81)] },
    { action: "Deny", from: [own] },
  ];
  const spec = { tier: "Admin", priority: 0, subject: own, ingress, egress: [{ action: "Accept", to: [own] }] };
  return { apiVersion: "policy.networking.k8s.io/v1alpha2", kind: "ClusterNetworkPolicy", metadata: { name: "gate" }, spec } as KubeObject;
}

function policyOf(spec: object): KubeObject {
  return { apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", metadata: { name: "gate", namespace: MARKER }, spec } as KubeObject;
}

function objects(): KubeObject[] {
  const namespaces = [...NAMESPACES, MARKER].map((name) => ({ apiVersion: "v1", kind: "Namespace", metadata: { name } }));
  const pods = NAMESPACES.flatMap((namespace, i) =>
    PODS_OF.map((name, j) => podOf({ namespace, name, node: `node-${1 + ((i + j) % 2)}` }, j === 0 ? 81 : 80)),
  );
  const gates = [1, 2].map((n) => podOf({ namespace: MARKER, name: `m${n}`, node: `node-${n}` }, 80));
  const services = NAMESPACES.map(
    (namespace): KubeObject =>
      ({
        apiVersion: "v1",
        kind: "Service",
        metadata: { name: "one", namespace },
        spec: {
          ipFamilyPolicy: "RequireDualStack",
          selector: { pod: "a" },
          ports: [
            { name: "plain", port: 80, targetPort: 80 },
            { name: "named", port: 8000, targetPort: "http" },
          ],
        },
      }) as KubeObject,
  );
  return [...namespaces, ...pods, ...gates, ...services];
}

/** `http` is not the same number everywhere. */
function podOf({ namespace, name, node }: { namespace: string; name: string; node: string }, http: number): KubeObject {
  const ports = [
    { name: "http", containerPort: http },
    { name: "dns", containerPort: 80, protocol: "UDP" },
  ];
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace, labels: { pod: name, app: { a: "web", b: "db", c: "cache" }[name] ?? "marker" } },
    spec: { nodeName: node, terminationGracePeriodSeconds: 0, containers: [{ name: "idle", image: "agnhost", args: ["pause"], ports }] },
  } as KubeObject;
}
