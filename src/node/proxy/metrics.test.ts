import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "#base";
import { createFakeClient } from "#client/fake";
import { ENDPOINT_SLICES } from "#kube";
import { FakeNft } from "#linux/fake";
import { createMetrics, observe, type ProxyMetrics } from "./metrics.ts";
import { formatMetrics } from "./metrics-text.ts";
import { NftablesDataplane } from "./nftables/dataplane.ts";
import { type ServiceProxy, startProxy } from "./start.ts";
import { CIDRS, NODE, type PortSpec, service, slice } from "./testing.ts";

const HTTP: readonly PortSpec[] = [{ name: "http", port: 80, targetPort: 8080, nodePort: 30_080 }];
const LINE = /^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? -?\d+(\.\d+)?(e[+-]?\d+)?)$/;

/** `name type` of everything. */
function types(text: string): string[] {
  return Array.from(text.matchAll(/^# TYPE (\S+) (\S+)$/gm), ([, name, type]) => `${name} ${type}`);
}

function samples(text: string, name: string): string[] {
  return text.split("\n").filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
}

test("names, types and labels are kube-proxy's", () => {
  const text = formatMetrics(createMetrics(), { mode: "nftables", families: [4, 6] });
  for (const line of text.trimEnd().split("\n")) assert.match(line, LINE);
  assert.deepEqual(
    types(text).filter((name) => name.startsWith("kubeproxy_")),
    [
      "kubeproxy_sync_proxy_rules_duration_seconds histogram",
      "kubeproxy_sync_full_proxy_rules_duration_seconds histogram",
      "kubeproxy_sync_partial_proxy_rules_duration_seconds histogram",
      "kubeproxy_network_programming_duration_seconds histogram",
      "kubeproxy_sync_proxy_rules_endpoint_changes_pending gauge",
      "kubeproxy_sync_proxy_rules_endpoint_changes_total counter",
      "kubeproxy_sync_proxy_rules_service_changes_pending gauge",
      "kubeproxy_sync_proxy_rules_service_changes_total counter",
      "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds gauge",
      "kubeproxy_sync_proxy_rules_last_timestamp_seconds gauge",
      "kubeproxy_sync_proxy_rules_no_local_endpoints_total gauge",
      "kubeproxy_sync_proxy_rules_nftables_sync_failures_total counter",
      "kubeproxy_sync_proxy_rules_nftables_cleanup_failures_total counter",
      "kubeproxy_conntrack_reconciler_sync_duration_seconds histogram",
      "kubeproxy_conntrack_reconciler_deleted_entries_total counter",
      "kubeproxy_proxy_healthz_total counter",
      "kubeproxy_proxy_livez_total counter",
    ],
  );
  const iptables = formatMetrics(createMetrics(), { mode: "iptables", families: [4] });
  assert.deepEqual(samples(iptables, "kubeproxy_sync_proxy_rules_iptables_restore_failures_total"), [
    'kubeproxy_sync_proxy_rules_iptables_restore_failures_total{ip_family="IPv4"} 0',
  ]);
  assert.deepEqual(samples(iptables, "kubeproxy_sync_proxy_rules_iptables_total"), [
    'kubeproxy_sync_proxy_rules_iptables_total{ip_family="IPv4",table="filter"} 0',
    'kubeproxy_sync_proxy_rules_iptables_total{ip_family="IPv4",table="nat"} 0',
  ]);
  assert.doesNotMatch(iptables, /nftables|IPv6/);
  const pending = samples(text, "kubeproxy_sync_proxy_rules_endpoint_changes_pending");
  assert.deepEqual(pending, ["kubeproxy_sync_proxy_rules_endpoint_changes_pending 0"], "these have no family");
});

test("buckets are cumulative, and those of network programming are upstream's", () => {
  const metrics = createMetrics();
  for (const seconds of [0.1, 0.3, 0.3, 7, 1000]) observe(metrics.network_programming_duration_seconds[6], seconds);
  const text = formatMetrics(metrics, { mode: "nftables", families: [6] });
  const buckets = samples(text, "kubeproxy_network_programming_duration_seconds_bucket").map((line) => {
    const match = /le="([^"]+)"\} (\d+)$/.exec(line);
    return [match?.[1], Number(match?.[2])] as const;
  });
  // 0, 0.25, 0.5, every second to a minute, every 5 s to two, every 30 s to five, and infinity.
  assert.equal(buckets.length, 3 + 59 + 12 + 7 + 1);
  const at = new Map(buckets);
  assert.deepEqual(
    ["0", "0.25", "0.5", "6", "7", "59", "60", "115", "120", "300", "+Inf"].map((le) => at.get(le)),
    [0, 1, 3, 3, 4, 4, 4, 4, 4, 4, 5],
  );
  assert.deepEqual(samples(text, "kubeproxy_network_programming_duration_seconds_count"), [
    'kubeproxy_network_programming_duration_seconds_count{ip_family="IPv6"} 5',
  ]);
  assert.match(samples(text, "kubeproxy_network_programming_duration_seconds_sum").join(), / 1007\.7/);
});

function start(...objects: Parameters<typeof createFakeClient>[0] & object[]): {
  proxy: ServiceProxy;
  client: ReturnType<typeof createFakeClient>;
} {
  const client = createFakeClient(objects);
  const openDataplane = ({
    cidrs,
    metrics,
    logger,
  }: Parameters<NonNullable<Parameters<typeof startProxy>[0]["openDataplane"]>>[0]): NftablesDataplane =>
    new NftablesDataplane({ nft: new FakeNft(), cidrs, metrics, logger });
  return { client, proxy: startProxy({ client, node: NODE, ...CIDRS, logger: silentLogger, openDataplane }) };
}

async function until(proxy: ServiceProxy, done: (metrics: ProxyMetrics) => boolean): Promise<void> {
  const end = performance.now() + 20_000;
  while (!done(proxy.metrics) && performance.now() < end) {
    await new Promise((resolve) => setImmediate(resolve));
    await proxy.idle();
  }
  assert.ok(done(proxy.metrics), "the change never arrived");
}

test("counts what is programmed, and who has no endpoint here", async () => {
  const local = { externalTrafficPolicy: "Local", internalTrafficPolicy: "Local" };
  const { proxy, client } = start(
    service("web", ["10.96.0.1"], HTTP),
    slice("web", ["10.244.1.2@node-1", "10.244.2.2@node-2"], HTTP),
    service("away", ["10.96.0.2", "fd00:10:96::2"], [{ ...HTTP[0], port: 80, nodePort: 30_081 }], local),
    slice("away", ["10.244.2.3@node-2"], HTTP),
    service("empty", ["10.96.0.3"], [{ name: "http", port: 80 }], local),
  );
  await proxy.synced;
  const { metrics } = proxy;
  // web and away have a NodePort each, away in both families.
  assert.equal(metrics.frontends, 2 + 4 + 1);
  // Two for each frontend of web; the inside of away's NodePort reaches the one that is elsewhere.
  assert.equal(metrics.backends, 4 + 1);
  assert.deepEqual(metrics.sync_proxy_rules_no_local_endpoints_total, { 4: { internal: 1, external: 1 }, 6: { internal: 0, external: 0 } });
  await client.update(ENDPOINT_SLICES, slice("away", ["10.244.1.3@node-1", "10.244.2.3@node-2"], HTTP));
  await until(proxy, ({ backends }) => backends === 4 + 1 + 2);
  assert.deepEqual(metrics.sync_proxy_rules_no_local_endpoints_total[4], { internal: 0, external: 0 });
  await proxy.resync();
  assert.equal(metrics.frontends, 7);
  assert.equal(metrics.backends, 7);
  proxy.stop();
});

test("network programming latency is that of the slice's family, and only of changes after the start", async () => {
  const at = (ms: number): object => ({ annotations: { "endpoints.kubernetes.io/last-change-trigger-time": new Date(ms).toISOString() } });
  const made = slice("web", ["fd00:10:244:1::2@node-1"], HTTP);
  const { proxy, client } = start(service("web", ["fd00:10:96::1"], HTTP), {
    ...made,
    metadata: { ...made.metadata, ...at(Date.now() - 10_000) },
  });
  await proxy.synced;
  const { 4: v4, 6: v6 } = proxy.metrics.network_programming_duration_seconds;
  assert.equal(v6.count, 0);
  const next = slice("web", ["fd00:10:244:1::3@node-1"], HTTP);
  await client.update(ENDPOINT_SLICES, { ...next, metadata: { ...next.metadata, ...at(Date.now() - 2000) } });
  await until(proxy, () => v6.count > 0);
  assert.ok(v6.sum >= 2 && v6.sum < 60, `${v6.sum} s`);
  assert.equal(v4.count, 0);
  proxy.stop();
});
