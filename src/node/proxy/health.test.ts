import assert from "node:assert/strict";
import { once } from "node:events";
import { get } from "node:http";
import { type AddressInfo, connect, createServer } from "node:net";
import { suite, type TestContext, test } from "node:test";
import type { Node, Service } from "kubernetes-types/core/v1";
import { type Clock, silentLogger } from "#base";
import type { EventRecorder } from "#client";
import { createFakeClient } from "#client/fake";
import { parseAddr } from "#ip";
import { ENDPOINT_SLICES, NODES, SERVICES, type Stored } from "#kube";
import { FakeNft } from "#linux/fake";
import { ProxyHealth } from "./health.ts";
import { HealthPorts } from "./health-ports.ts";
import { createMetrics } from "./metrics.ts";
import { NftablesDataplane } from "./nftables/dataplane.ts";
import { startProxy } from "./start.ts";
import { StatusServers } from "./status-servers.ts";
import { CIDRS, NODE, type PortSpec, service, slice } from "./testing.ts";
import type { CompiledService } from "./types.ts";

const LOOPBACK = parseAddr("127.0.0.1");

interface Answer {
  readonly status: number | undefined;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
}

async function ask(port: number, path = "/"): Promise<Answer> {
  const request = get({ host: "127.0.0.1", port, path, agent: false });
  const [response] = await once(request, "response");
  let body = "";
  for await (const chunk of response) body += chunk;
  return { status: response.statusCode, headers: response.headers, body };
}

/** A port that nobody has at this moment. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

class TestClock implements Clock {
  ms: number = Date.parse("2025-01-01T00:00:00Z");
  now(): number {
    return this.ms;
  }
  sleep(): Promise<void> {
    return Promise.resolve();
  }
}

function check(port: number, localEndpoints: number): CompiledService {
  return { frontends: [], healthCheck: { port, localEndpoints } };
}

suite("health check node ports", () => {
  interface Setup {
    readonly ports: HealthPorts;
    readonly told: { readonly name: string; readonly message: string }[];
    healthy: boolean;
  }

  function open(t: TestContext): Setup {
    const told: Setup["told"] = [];
    const events: EventRecorder = {
      event: (object, { message }) => void told.push({ name: object.metadata.name, message }),
      flush: () => Promise.resolve(),
    };
    const stored = (key: string): Stored<Service> => ({ metadata: { name: key } }) as Stored<Service>;
    const setup: Setup = {
      told,
      healthy: true,
      ports: new HealthPorts({
        netns: undefined,
        addresses: [LOOPBACK],
        isProxyHealthy: () => setup.healthy,
        services: { get: stored },
        events,
        logger: silentLogger,
      }),
    };
    t.after(() => setup.ports.stop());
    return setup;
  }

  test("200 with local endpoints while the proxy is healthy, and what kube-proxy says", async (t) => {
    const setup = open(t);
    const port = await freePort();
    setup.ports.compiled(new Map([["shop/web", check(port, 2)]]));
    await setup.ports.settled();
    const good = await ask(port, "/anything");
    assert.equal(good.status, 200);
    assert.equal(good.headers["content-type"], "application/json");
    assert.equal(good.headers["x-load-balancing-endpoint-weight"], "2");
    assert.deepEqual(JSON.parse(good.body), { service: { namespace: "shop", name: "web" }, localEndpoints: 2, serviceProxyHealthy: true });
    setup.healthy = false;
    const sick = await ask(port);
    assert.equal(sick.status, 503);
    assert.equal(JSON.parse(sick.body).serviceProxyHealthy, false);
    setup.healthy = true;
    setup.ports.compiled(new Map([["shop/web", check(port, 0)]]));
    const empty = await ask(port);
    assert.equal(empty.status, 503);
    assert.equal(empty.headers["x-load-balancing-endpoint-weight"], "0");
  });

  test("a client that never ends its request loses its connection with the port", async (t) => {
    const { ports } = open(t);
    const port = await freePort();
    ports.compiled(new Map([["a/b", check(port, 1)]]));
    await ports.settled();
    const slow = connect(port, "127.0.0.1");
    t.after(() => slow.destroy());
    await once(slow, "connect");
    slow.write("GET / HTTP/1.1\r\n");
    // The server has it once it has answered one that came later.
    await ask(port);
    const closed = once(slow.resume(), "close");
    ports.compiled(new Map([["a/b", undefined]]));
    await closed;
  });

  test("another port, and none any more", async (t) => {
    const { ports } = open(t);
    const [one, two] = [await freePort(), await freePort()];
    ports.compiled(new Map([["a/b", check(one, 1)]]));
    await ports.settled();
    ports.compiled(new Map([["a/b", check(two, 1)]]));
    await ports.settled();
    await assert.rejects(ask(one), { code: "ECONNREFUSED" });
    assert.equal((await ask(two)).status, 200);
    ports.compiled(new Map([["a/b", { frontends: [] }]]));
    await ports.settled();
    await assert.rejects(ask(two), { code: "ECONNREFUSED" });
  });

  test("a port that another program has is told on the Service, once, and had when it is free", async (t) => {
    const { ports, told } = open(t);
    const blocker = createServer().listen(0, "127.0.0.1");
    await once(blocker, "listening");
    const { port } = blocker.address() as AddressInfo;
    ports.compiled(new Map([["a/b", check(port, 1)]]));
    await ports.settled();
    assert.equal(told.length, 1);
    assert.match(told[0]?.message ?? "", new RegExp(`health check node port ${port} \\(127\\.0\\.0\\.1:${port}: .*EADDRINUSE`));
    blocker.close();
    await once(blocker, "close");
    while ((await ask(port).catch(() => undefined)) === undefined) await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal((await ask(port)).status, 200);
    assert.equal(told.length, 1);
  });

  test("of two Services with one port the first has it, the other when that goes", async (t) => {
    const { ports, told } = open(t);
    const port = await freePort();
    ports.compiled(new Map([["a/first", check(port, 1)]]));
    ports.compiled(new Map([["a/second", check(port, 3)]]));
    await ports.settled();
    assert.equal(JSON.parse((await ask(port)).body).service.name, "first");
    assert.deepEqual(
      told.map(({ name }) => name),
      ["a/second"],
    );
    ports.compiled(new Map([["a/first", undefined]]));
    await ports.settled();
    assert.equal(JSON.parse((await ask(port)).body).service.name, "second");
  });

  test("follows endpoints and conditions through the whole proxy; those that terminate count as none", async (t) => {
    const port = await freePort();
    const ports: readonly PortSpec[] = [{ name: "http", port: 80, targetPort: 8080 }];
    const local = { type: "LoadBalancer", externalTrafficPolicy: "Local", healthCheckNodePort: port };
    const client = createFakeClient([
      service("web", ["10.96.0.1"], ports, local),
      slice("web", ["10.244.1.2@node-1", "10.244.1.3@node-2"], ports),
    ]);
    const proxy = startProxy({
      client,
      node: { ...NODE, addresses: [LOOPBACK] },
      ...CIDRS,
      logger: silentLogger,
      openDataplane: ({ cidrs, metrics, logger }) => new NftablesDataplane({ nft: new FakeNft(), cidrs, metrics, logger }),
    });
    t.after(() => proxy.stop());
    await proxy.synced;
    const weight = async (): Promise<unknown> => (await ask(port).catch(() => undefined))?.headers["x-load-balancing-endpoint-weight"];
    const until = async (wanted: string | undefined): Promise<void> => {
      while ((await weight()) !== wanted) await new Promise((resolve) => setImmediate(resolve));
    };
    await until("1");
    await client.update(ENDPOINT_SLICES, slice("web", ["10.244.1.2@node-1!terminating", "10.244.1.3@node-2"], ports));
    await until("0");
    await client.update(SERVICES, service("web", ["10.96.0.1"], ports, { ...local, type: "ClusterIP" }));
    await until(undefined);
  });
});

suite("healthz and livez", () => {
  interface Setup {
    readonly port: number;
    readonly clock: TestClock;
    readonly health: ProxyHealth;
    readonly metrics: ReturnType<typeof createMetrics>;
  }

  async function open(t: TestContext): Promise<Setup> {
    const clock = new TestClock();
    const health = new ProxyHealth(clock);
    const metrics = createMetrics();
    const port = await freePort();
    const servers = new StatusServers({
      netns: undefined,
      healthz: [{ addr: LOOPBACK, port }],
      metricsAt: [],
      health,
      metrics,
      context: () => ({ mode: "nftables", families: [4, 6] }),
      logger: silentLogger,
    });
    t.after(() => servers.stop());
    await servers.settled();
    return { port, clock, health, metrics };
  }

  const tainted: Node = { spec: { taints: [{ key: "ToBeDeletedByClusterAutoscaler", effect: "NoSchedule" }] } };

  test("503 when an update has been waiting for twice the sync period, and well again when it is written", async (t) => {
    const { port, clock, health, metrics } = await open(t);
    clock.ms += 3_600_000;
    assert.equal((await ask(port, "/healthz")).status, 200, "nothing to do is no illness");
    health.queued();
    clock.ms += 59_999;
    health.queued();
    assert.equal((await ask(port, "/healthz")).status, 200);
    clock.ms += 1;
    for (const path of ["/healthz", "/livez"]) assert.equal((await ask(port, path)).status, 503, path);
    const sick = JSON.parse((await ask(port, "/healthz")).body);
    assert.deepEqual(sick, { lastUpdated: "2025-01-01T00:00:00.000Z", currentTime: "2025-01-01T01:01:00.000Z", nodeEligible: true });
    health.programmed();
    const well = await ask(port, "/healthz");
    assert.equal(well.status, 200);
    assert.equal(JSON.parse(well.body).lastUpdated, "2025-01-01T01:01:00.000Z");
    assert.deepEqual(
      [...metrics.proxy_healthz_total],
      [
        [200, 3],
        [503, 2],
      ],
    );
    assert.deepEqual([...metrics.proxy_livez_total], [[503, 1]]);
    assert.equal((await ask(port, "/other")).status, 404);
  });

  test("a node that is about to go is not eligible; livez does not mind", async (t) => {
    const { port, health } = await open(t);
    for (const node of [tainted, { metadata: { deletionTimestamp: "2025-01-01T00:00:00Z" } }]) {
      health.setNode(node);
      const answer = await ask(port, "/healthz");
      assert.equal(answer.status, 503);
      assert.equal(JSON.parse(answer.body).nodeEligible, false);
      const live = await ask(port, "/livez");
      assert.equal(live.status, 200);
      assert.equal("nodeEligible" in JSON.parse(live.body), false);
      health.setNode({ spec: { taints: [{ key: "other", effect: "NoSchedule" }] } });
      assert.equal((await ask(port, "/healthz")).status, 200);
    }
  });

  test("follows the Node, and keeps the last state when it is gone", async (t) => {
    const port = await freePort();
    const client = createFakeClient([{ apiVersion: "v1", kind: "Node", metadata: { name: "node-1" }, ...tainted }]);
    const { createInformer } = await import("#client");
    const nodes = createInformer(client, NODES);
    const proxy = startProxy({
      client,
      informers: { services: createInformer(client, SERVICES), slices: createInformer(client, ENDPOINT_SLICES), nodes },
      node: NODE,
      ...CIDRS,
      healthz: [{ addr: LOOPBACK, port }],
      logger: silentLogger,
      openDataplane: ({ cidrs, metrics, logger }) => new NftablesDataplane({ nft: new FakeNft(), cidrs, metrics, logger }),
    });
    t.after(() => proxy.stop());
    await Promise.all([proxy.synced, nodes.synced]);
    const until = async (status: number): Promise<void> => {
      while ((await ask(port, "/healthz").catch(() => undefined))?.status !== status) await new Promise((resolve) => setImmediate(resolve));
    };
    await until(503);
    await client.delete(NODES, { name: "node-1" });
    while (nodes.get("node-1") !== undefined) await new Promise((resolve) => setImmediate(resolve));
    assert.equal((await ask(port, "/healthz")).status, 503);
    await client.create(NODES, { metadata: { name: "node-1" } });
    await until(200);
  });
});
