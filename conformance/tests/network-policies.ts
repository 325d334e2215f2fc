// The situations of upstream's tests of network policies (kubernetes/kubernetes test/e2e/network/netpol), which are no conformance tests, in the
// same cluster: nine pods in three namespaces over two nodes, each asking each other one's Service. See matrix/policies/situations.ts.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import type { Pod } from "kubernetes-types/core/v1";
import { parse } from "yaml";
import { createInformer, loadKubeconfig } from "#client";
import { exec } from "#client/stream";
import { NAMESPACES, NETWORK_POLICIES, PODS, SERVICES, type Stored } from "#kube";
import { clusterPaths } from "#sandbox";
import { type Check, type Protocol, reaches, SITUATIONS, type Situation, type Step } from "../../matrix/policies/situations.ts";
import { AGNHOST } from "../fixture/pods.ts";
import type { ConformanceTest, Fixture } from "../types.ts";

const NAMES = ["x", "y", "z"].flatMap((namespace) => ["a", "b", "c"].map((name) => `${namespace}/${name}`));
const PORTS = [80, 81];
const PROTOCOLS = ["TCP", "UDP"] as const;
/** Nothing is far in here: what is not answered by then is refused. */
const REFUSED_MS = 300;

/** Answers at each port over TCP and UDP. */
const SERVER = `
for (const port of [${PORTS.join()}]) {
  require("node:net").createServer((socket) => { socket.on("error", () => {}); socket.end("hello"); }).listen(port, "::");
  const udp = require("node:dgram").createSocket("udp6");
  udp.on("message", (_, from) => udp.send("hello", from.port, from.address));
  udp.bind(port, "::");
}`;

/** For each line, a list of [protocol, host, port]: a line that says which of them are answered. */
const PROBER = `
const ask = ([protocol, host, port]) => new Promise((resolve) => {
  const ends = [];
  const done = (yes) => { for (const end of ends) end(); resolve(yes); };
  const timer = setTimeout(() => done(false), ${REFUSED_MS});
  ends.push(() => clearTimeout(timer));
  if (protocol === "TCP") {
    const socket = require("node:net").connect(port, host);
    socket.on("data", () => done(true)).on("error", () => done(false));
    ends.push(() => socket.destroy());
  } else {
    const socket = require("node:dgram").createSocket(host.includes(":") ? "udp6" : "udp4");
    socket.on("message", () => done(true)).on("error", () => done(false));
    socket.send("?", port, host);
    ends.push(() => socket.close());
  }
});
let next = Promise.resolve();
require("node:readline").createInterface({ input: process.stdin }).on("line", (line) => {
  next = next.then(() => Promise.all(JSON.parse(line).map(ask))).then((said) => process.stdout.write(JSON.stringify(said) + "\\n"));
});`;

interface Stage {
  readonly pods: ReadonlyMap<string, Stored<Pod>>;
  /** Addresses of the pod's Service. */
  readonly vips: ReadonlyMap<string, readonly string[]>;
  /** Which of the places are answered, asked from the pod. */
  readonly ask: (from: string, places: readonly (readonly [Protocol, string, number])[]) => Promise<boolean[]>;
}

let stage: Promise<Stage> | undefined;

async function build({ client, nodes, cluster }: Fixture): Promise<Stage> {
  for (const name of ["x", "y", "z"]) await client.create(NAMESPACES, { metadata: { name } });
  const ports = PORTS.flatMap((port) => PROTOCOLS.map((protocol) => ({ name: `serve-${port}-${protocol.toLowerCase()}`, protocol, port })));
  for (const [i, key] of NAMES.entries()) {
    const [namespace = "", name = ""] = key.split("/");
    const container = {
      name: "c",
      image: AGNHOST,
      command: ["/node", "-e", SERVER],
      ports: ports.map(({ port, ...port_ }) => ({ ...port_, containerPort: port })),
      readinessProbe: { tcpSocket: { port: 81 }, periodSeconds: 1 },
    };
    const spec = { terminationGracePeriodSeconds: 0, nodeName: nodes[i % nodes.length]?.name ?? "", containers: [container] };
    await client.create(PODS, { metadata: { name, namespace, labels: { pod: name } }, spec });
    const service = { selector: { pod: name }, ipFamilyPolicy: "PreferDualStack", ports };
    await client.create(SERVICES, { metadata: { name: `s-${name}`, namespace }, spec: service });
  }
  const pods = new Map<string, Stored<Pod>>();
  const informer = createInformer(client, PODS);
  const all = Promise.withResolvers<void>();
  informer.subscribe(({ key, object }) => {
    const isReady = object.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") === true;
    if (NAMES.includes(key) && isReady) pods.set(key, object);
    if (pods.size === NAMES.length) all.resolve();
  });
  await all.promise;
  informer.stop();
  const vips = new Map<string, readonly string[]>();
  for (const key of NAMES) {
    const [namespace = "", name = ""] = key.split("/");
    vips.set(key, (await client.get(SERVICES, { namespace, name: `s-${name}` })).spec?.clusterIPs ?? []);
  }
  const config = loadKubeconfig(JSON.stringify(parse(readFileSync(clusterPaths(cluster.home).kubeconfig, "utf8"))));
  const probers = new Map(NAMES.map((key) => [key, new Prober(config, key)]));
  return { pods, vips, ask: (from, places) => (probers.get(from) ?? assert.fail(from)).ask(places) };
}

/** A program in a pod that asks when it is told to, over one exec. */
class Prober {
  readonly #waiting: ((said: boolean[]) => void)[] = [];
  readonly #lines: Uint8Array[] = [];
  #wake: (() => void) | undefined;
  #text = "";

  constructor(config: Parameters<typeof exec>[0], key: string) {
    const [namespace = "", name = ""] = key.split("/");
    const onStdout = (chunk: Buffer): void => {
      const lines = `${this.#text}${chunk.toString()}`.split("\n");
      this.#text = lines.pop() ?? "";
      for (const line of lines) this.#waiting.shift()?.(JSON.parse(line) as boolean[]);
    };
    const onStderr = (chunk: Buffer): void => void process.stderr.write(chunk);
    // It ends with its pod.
    void exec(config, { namespace, name }, { command: ["/node", "-e", PROBER], stdin: this.#stdin(), onStdout, onStderr }).catch(() => {});
  }

  ask(places: readonly (readonly [Protocol, string, number])[]): Promise<boolean[]> {
    this.#lines.push(Buffer.from(`${JSON.stringify(places)}\n`));
    this.#wake?.();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  async *#stdin(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const line = this.#lines.shift();
      if (line !== undefined) yield line;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

/** What is not as it should be, between all pods but of one with itself; a change may take a moment to come to all nodes. */
async function look({ ask, vips }: Stage, check: Check): Promise<string[]> {
  const wrong = await Promise.all(
    NAMES.map(async (from) => {
      const others = NAMES.filter((to) => to !== from).flatMap((to) => (vips.get(to) ?? []).map((vip) => ({ to, vip })));
      const said = await ask(
        from,
        others.map(({ vip }) => [check.protocol, vip, check.port] as const),
      );
      return others.flatMap(({ to, vip }, i) => {
        const wanted = reaches(check, from, to);
        return said[i] === wanted
          ? []
          : [`${from} to ${to} (${vip}) ${check.protocol} ${check.port}: ${wanted ? "should be" : "should not be"} answered`];
      });
    }),
  );
  return wrong.flat();
}

async function setLabels(
  { client }: Fixture,
  given: Step["labels"] = {},
  value: (text: string) => string | null = (text) => text,
): Promise<void> {
  for (const [key, own] of Object.entries(given)) {
    const labels = Object.fromEntries(Object.entries(own).map(([label, text]) => [label, value(text)]));
    const patch = { type: "merge", body: { metadata: { labels } } } as const;
    const [namespace = "", name] = key.split("/");
    if (name === undefined) await client.patch(NAMESPACES, { name: namespace }, patch);
    else await client.patch(PODS, { namespace, name }, patch);
  }
}

async function removePolicies({ client }: Fixture): Promise<void> {
  for (const namespace of ["x", "y", "z"]) {
    const { items } = await client.list(NETWORK_POLICIES, { namespace });
    for (const { metadata } of items) await client.delete(NETWORK_POLICIES, { namespace, name: metadata.name });
  }
}

async function take(fixture: Fixture, on: Stage, { policies, labels, checks }: Step): Promise<void> {
  const addrs = (key: string): Partial<Record<4 | 6, string>> =>
    Object.fromEntries((on.pods.get(key)?.status?.podIPs ?? []).map(({ ip = "" }) => [ip.includes(":") ? 6 : 4, ip]));
  await removePolicies(fixture);
  for (const [key, spec] of Object.entries(policies(addrs))) {
    const [namespace = "", name = ""] = key.split("/");
    await fixture.client.create(NETWORK_POLICIES, { metadata: { namespace, name }, spec });
  }
  await setLabels(fixture, labels);
  for (const check of checks) {
    let wrong = await look(on, check);
    while (wrong.length > 0 && !fixture.signal.aborted) wrong = await look(on, check);
    assert.deepEqual(wrong, []);
  }
}

async function play(fixture: Fixture, { steps }: Situation): Promise<void> {
  stage ??= build(fixture);
  const on = await stage;
  try {
    for (const step of steps) await take(fixture, on, step);
  } finally {
    await removePolicies(fixture);
    for (const { labels } of steps) await setLabels(fixture, labels, () => null);
  }
}

const SCTP = "shown in another kernel by npm run matrix:policies";

export const NETWORK_POLICIES_TESTS: readonly ConformanceTest[] = SITUATIONS.map((situation) => {
  const needsSctp = situation.steps.some(({ checks }) => checks.some(({ protocol }) => protocol === "SCTP"));
  return {
    title: `Netpol ${situation.title}`,
    alone: true,
    ...(needsSctp && { skip: SCTP }),
    run: (fixture: Fixture) => play(fixture, situation),
  };
});
