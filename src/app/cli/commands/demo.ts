// `fairlead demo`: what `npm start` runs. A cluster, the shop on it, and requests through the shop, with who answered where.
import { existsSync } from "node:fs";
import type { Deployment } from "kubernetes-types/apps/v1";
import type { Pod } from "kubernetes-types/core/v1";
import { FairleadError } from "#base";
import { createInformer, type HttpClient, type Informer } from "#client";
import { DEPLOYMENTS, type KubeObject, PODS } from "#kube";
import { formatBrief } from "#trace";
import { openClient } from "../api.ts";
import { findCluster } from "../home.ts";
import { readManifests } from "../manifests.ts";
import { createSteps, paint, type Steps } from "../terminal.ts";
import { applyObject } from "./apply.ts";
import { removeCluster } from "./down.ts";
import { runInContainer } from "./exec.ts";
import { traceIn } from "./trace.ts";
import { removedWhenInterrupted, startCluster, tellWhatNext } from "./up.ts";

const NAMESPACE = "shop";
const CUSTOMER = "customer";
const REQUESTS_PER_FAMILY = 3;
const PATIENCE_MS = 60_000;

interface Hop {
  readonly role: string;
  readonly pod: string;
  readonly node: string;
}

export async function demo(options: { name: string; keep: boolean }): Promise<void> {
  const { name, keep } = options;
  const ours = findCluster(name)?.running !== true;
  if (ours) await startCluster({ name, nodes: 3, ipFamily: "dual", overlay: "vxlan", apiPort: 0 });
  if (ours && !keep) {
    try {
      await removedWhenInterrupted(name, () => shop(name));
    } finally {
      await removeCluster(name);
    }
    process.stdout.write(`\nThe demo's cluster is removed. One of your own: ./fairlead up\n`);
  } else {
    await shop(name);
    if (ours) tellWhatNext(name);
  }
}

async function shop(name: string): Promise<void> {
  const steps = createSteps(Date.now());
  const client = openClient(name);
  process.stderr.write("\n");
  for (const object of readManifests([exampleDir()])) await applyObject(client, object);
  steps.done("the shop is applied", "front, api, store: 8 pods on 3 nodes");
  await available(client, steps);
  await showPlaces(client);
  const families = await familiesOf(client);
  for (const family of families) {
    process.stdout.write(`\nFrom pod ${CUSTOMER}, requests to http://front/ over IPv${family}:\n`);
    for (let i = 0; i < REQUESTS_PER_FAMILY; i++) await shopOnce(name, family);
  }
  await showWay(name, client);
  client.close();
}

/** The way of one packet, as it was seen on every link. */
async function showWay(name: string, client: HttpClient): Promise<void> {
  const found = await traceIn(client, CUSTOMER, "svc/front", { name, namespace: NAMESPACE, probe: true });
  process.stdout.write(`\nThe way of one packet from pod ${CUSTOMER} to Service front, seen on each link:\n`);
  process.stdout.write(formatBrief(found, (style, text) => paint(style, text)));
  process.stdout.write(`  ${paint("dim", `with every rule on its way: ./fairlead trace -n ${NAMESPACE} ${CUSTOMER} svc/front`)}\n`);
}

/** `examples/shop`, above `dist` or `src`. */
function exampleDir(): string {
  for (let dir = import.meta.dirname; dir !== ""; dir = dir.slice(0, dir.lastIndexOf("/"))) {
    if (existsSync(`${dir}/examples/shop`)) return `${dir}/examples/shop`;
  }
  throw new FairleadError("the folder examples/shop is missing from this installation", { code: "ENOENT" });
}

async function available(client: HttpClient, steps: Steps): Promise<void> {
  const abort = AbortSignal.timeout(PATIENCE_MS);
  const deployments = createInformer(client, DEPLOYMENTS, { namespace: NAMESPACE });
  const pods = createInformer(client, PODS, { namespace: NAMESPACE });
  try {
    await until(deployments, () => deployments.list().length === 3 && deployments.list().every(isAvailable), abort);
    await until(pods, () => pods.list().some((pod) => pod.metadata.name === CUSTOMER && isReady(pod)), abort);
  } catch (err) {
    const waiting = pods.list().filter((pod) => !isReady(pod));
    const names = waiting.map((pod) => `${pod.metadata.name} (${pod.status?.phase ?? "Unknown"})`).join(", ");
    throw new FairleadError(`the shop is not ready after ${PATIENCE_MS / 1000} s; still waiting: ${names}`, {
      code: "ETIMEDOUT",
      cause: err,
    });
  } finally {
    deployments.stop();
    pods.stop();
  }
  steps.done("every pod of the shop is Ready");
}

function isAvailable(deployment: Deployment): boolean {
  return deployment.status?.availableReplicas === deployment.spec?.replicas;
}

function isReady(pod: Pod): boolean {
  return pod.status?.conditions?.some((condition) => condition.type === "Ready" && condition.status === "True") ?? false;
}

async function until<T extends KubeObject>(informer: Informer<T>, condition: () => boolean, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  signal.addEventListener("abort", () => reject(new FairleadError("timed out", { code: "ETIMEDOUT" })), { once: true });
  informer.subscribe(() => {
    if (condition()) resolve();
  });
  await promise;
}

async function showPlaces(client: HttpClient): Promise<void> {
  const { items } = await client.list(PODS, { namespace: NAMESPACE });
  process.stdout.write("\n");
  for (const pod of items) {
    const ips = pod.status?.podIPs?.map((entry) => entry.ip).join("  ") ?? "";
    process.stdout.write(`  ${pod.metadata.name.padEnd(24)} ${paint("cyan", pod.spec?.nodeName ?? "")}  ${paint("dim", ips)}\n`);
  }
}

/** The address families that pods have. */
async function familiesOf(client: HttpClient): Promise<(4 | 6)[]> {
  const customer = await client.get(PODS, { namespace: NAMESPACE, name: CUSTOMER });
  const ips = customer.status?.podIPs ?? [];
  return ([4, 6] as const).filter((family) => ips.some((entry) => (entry.ip ?? "").includes(":") === (family === 6)));
}

/** One request from the customer's pod, by name; prints the chain of pods that answered. */
async function shopOnce(name: string, family: 4 | 6): Promise<void> {
  const fetchPage = `require("node:http").get("http://front/?family=${family}",{family:${family}},(r)=>r.pipe(process.stdout))`;
  const startedAt = performance.now();
  const { code, stdout, stderr } = await runInContainer(name, { namespace: NAMESPACE, pod: CUSTOMER, command: ["/node", "-e", fetchPage] });
  if (code !== 0) throw new FairleadError(`the request from pod ${CUSTOMER} failed: ${stderr.trim()}`, { code: "RequestFailed" });
  const { path } = parseAnswer(stdout);
  const chain = path.map((hop) => `${hop.pod} ${paint("cyan", `(${hop.node})`)}`).join(" → ");
  process.stdout.write(`  ${paint("green", "✓")} ${chain}  ${paint("dim", `${Math.round(performance.now() - startedAt)} ms`)}\n`);
}

function parseAnswer(text: string): { path: readonly Hop[] } {
  try {
    return JSON.parse(text) as { path: readonly Hop[] };
  } catch (err) {
    throw new FairleadError(`the shop's answer is not understood: ${text.trim()}`, { code: "BadAnswer", cause: err });
  }
}
