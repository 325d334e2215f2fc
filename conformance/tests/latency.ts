// kubernetes/kubernetes test/e2e/network/service_latency.go: from creating a Service to its Endpoints naming the one running pod.
import assert from "node:assert/strict";
import { createInformer } from "#client";
import { ENDPOINTS, SERVICES } from "#kube";
import { agnhost, runPods } from "../fixture/pods.ts";
import type { ConformanceTest, Fixture } from "../types.ts";

const WARM_UP = 10;
const TRIALS = 100;
/** How many are asked for at the same time. */
const PARALLEL = 15;
const LIMIT_P50_MS = 20_000;
const LIMIT_P90_MS = 50_000;

async function latency(fixture: Fixture): Promise<void> {
  const { client, namespace, signal } = fixture;
  const labels = { name: "svc-latency-rc" };
  await runPods(fixture, agnhost("svc-latency-rc", { labels }));
  const shownAt = new Map<string, (atMs: number) => void>();
  const endpoints = createInformer(client, ENDPOINTS, { namespace, signal });
  endpoints.subscribe(({ type, object }) => {
    const isFilled = object.subsets?.some((subset) => (subset.addresses ?? []).length > 0);
    if (type === "set" && isFilled === true) shownAt.get(object.metadata.name)?.(performance.now());
  });
  await endpoints.synced;
  const once = async (i: number): Promise<number> => {
    const name = `latency-svc-${i}`;
    const shown = Promise.withResolvers<number>();
    shownAt.set(name, shown.resolve);
    const startedAt = performance.now();
    await client.create(SERVICES, { metadata: { name, namespace }, spec: { ports: [{ port: 80, targetPort: 80 }], selector: labels } });
    return (await shown.promise) - startedAt;
  };
  for (let i = 0; i < WARM_UP; i++) await once(i);
  const numbers = Array.from({ length: TRIALS }, (_, i) => WARM_UP + i);
  const latencies: number[] = [];
  const worker = async (): Promise<void> => {
    for (let i = numbers.shift(); i !== undefined; i = numbers.shift()) latencies.push(await once(i));
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
  endpoints.stop();
  latencies.sort((a, b) => a - b);
  const [p50, p90, p99] = [50, 90, 99].map((percent) => latencies[Math.ceil((percent / 100) * TRIALS) - 1] ?? Number.NaN);
  fixture.note(`${TRIALS} Services: p50 ${formatMs(p50)}, p90 ${formatMs(p90)}, p99 ${formatMs(p99)}`);
  assert.ok(p50 !== undefined && p50 < LIMIT_P50_MS, `p50 is ${formatMs(p50)}`);
  assert.ok(p90 !== undefined && p90 < LIMIT_P90_MS, `p90 is ${formatMs(p90)}`);
}

function formatMs(ms: number | undefined): string {
  return `${(ms ?? Number.NaN).toFixed(1)} ms`;
}

export const LATENCY: readonly ConformanceTest[] = [
  { title: "Service endpoints latency should not be very high", alone: true, run: latency },
];
