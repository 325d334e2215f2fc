import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createServer as createTcpServer } from "node:net";
import { describe, test } from "node:test";
import type { Container, Probe } from "kubernetes-types/core/v1";
import type { Clock } from "#base";
import { FakeRuntime } from "../testing/fake-runtime.ts";
import { check } from "./check.ts";
import { Prober } from "./prober.ts";

/** Time passes only in `sleep`, at once. */
class TestClock implements Clock {
  ms = 0;
  now(): number {
    return this.ms;
  }
  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    if (signal?.aborted !== true) this.ms += ms;
  }
}

interface Run {
  readonly prober: Prober;
  /** When each kind was asked. */
  readonly asked: number[];
  readonly unhealthy: number[];
}

/** Runs a prober until `untilMs`; `answer` says whether a probe at a time succeeds. */
async function run(
  container: Partial<Container>,
  answer: (ms: number, probe: Probe) => boolean,
  untilMs: number,
  wasReady = false,
): Promise<Run> {
  const clock = new TestClock();
  const asked: number[] = [];
  const unhealthy: number[] = [];
  const over = Promise.withResolvers<void>();
  const prober = new Prober({
    container: { name: "c", ...container },
    wasReady,
    clock,
    check: async (probe) => {
      if (clock.ms >= untilMs) over.resolve();
      else asked.push(clock.ms);
      return { ok: answer(clock.ms, probe), message: "no" };
    },
    onChange: () => {},
    onUnhealthy: () => unhealthy.push(clock.ms),
  });
  await over.promise;
  prober.stop();
  return { prober, asked, unhealthy };
}

const PROBE: Probe = { exec: { command: ["ok"] }, periodSeconds: 1 };

describe("probes in time", () => {
  test("readiness is asked more and more seldom until it succeeds, and early failures do not count", async () => {
    const { asked, unhealthy, prober } = await run({ readinessProbe: PROBE }, (ms) => ms >= 300, 2500);
    assert.deepEqual(asked, [0, 20, 60, 140, 300, 1300, 2300]);
    assert.deepEqual(unhealthy, []);
    assert.equal(prober.ready, true);
  });

  test("a pod that was ready stays so until enough probes in a row have failed", async () => {
    const failing = await run({ readinessProbe: { ...PROBE, failureThreshold: 3 } }, () => false, 1500, true);
    assert.deepEqual([failing.prober.ready, failing.unhealthy.length], [true, 2]);
    const failed = await run({ readinessProbe: { ...PROBE, failureThreshold: 3 } }, () => false, 2500, true);
    assert.equal(failed.prober.ready, false);
  });

  test("successThreshold asks for several successes", async () => {
    const { prober } = await run({ readinessProbe: { ...PROBE, successThreshold: 3 } }, () => true, 1500);
    assert.equal(prober.ready, false);
  });

  test("liveness begins after one period, or after its delay", async () => {
    assert.deepEqual((await run({ livenessProbe: PROBE }, () => true, 3500)).asked, [1000, 2000, 3000]);
    assert.deepEqual((await run({ livenessProbe: { ...PROBE, initialDelaySeconds: 5 } }, () => true, 7500)).asked, [5000, 6000, 7000]);
  });

  test("three failures of liveness in a row are the end", async () => {
    const { prober, unhealthy } = await run({ livenessProbe: PROBE }, (ms) => ms === 2000, 5500);
    assert.deepEqual(unhealthy, [1000, 3000, 4000, 5000]);
    assert.equal(prober.health().failed?.message, "no");
  });

  test("nothing else is asked until startup has succeeded", async () => {
    const startupProbe = { exec: { command: ["start"] }, periodSeconds: 1, failureThreshold: 10 };
    const answer = (ms: number, probe: Probe): boolean => probe.exec?.command?.[0] !== "start" || ms >= 2000;
    const { prober, asked } = await run({ startupProbe, livenessProbe: PROBE }, answer, 4500);
    assert.equal(prober.health().started, true);
    assert.ok(asked.some((ms) => ms >= 2000));
    const never = new Prober({
      container: { name: "c", startupProbe, readinessProbe: PROBE },
      wasReady: false,
      clock: new TestClock(),
      check: async (probe) => {
        assert.equal(probe, startupProbe);
        return { ok: false, message: "" };
      },
      onChange: () => {},
      onUnhealthy: () => {},
    });
    while (never.health().failed === undefined) await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual([never.health().started, never.ready], [false, false]);
    never.stop();
  });
});

describe("a probe", () => {
  const runtime = new FakeRuntime();
  const target = (port = 0) => ({
    container: { name: "c", ports: [{ name: "web", containerPort: port }] },
    containerId: "none",
    podIp: "127.0.0.1",
    runtime,
  });

  test("over HTTP: 200 to 399 is good", async () => {
    const paths: string[] = [];
    const server = createServer((req, res) => {
      paths.push(`${req.method} ${req.url} ${req.headers["user-agent"]} ${String(req.headers["x-a"])}`);
      res.writeHead(Number(req.url?.slice(1)) || 200);
      res.end("x".repeat(50_000));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const ask = (path: string) => check({ httpGet: { path, port: "web", httpHeaders: [{ name: "X-A", value: "1" }] } }, target(port), 1);
    assert.deepEqual(await ask("/200"), { ok: true, message: "" });
    assert.equal((await ask("302")).ok, true);
    assert.deepEqual(await ask("/500"), { ok: false, message: "HTTP probe failed with statuscode: 500" });
    assert.equal(paths[0], "GET /200 kube-probe/1.33 1");
    server.close();
    server.closeAllConnections();
    assert.deepEqual(await check({ httpGet: { port } }, target(), 1), {
      ok: false,
      message: `Get "http://127.0.0.1:${port}/": dial tcp 127.0.0.1:${port}: connect: connection refused`,
    });
  });

  test("over TCP: a connection is good", async () => {
    const server = createTcpServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    assert.equal((await check({ tcpSocket: { port } }, target(), 1)).ok, true);
    await new Promise((resolve) => server.close(resolve));
    assert.match((await check({ tcpSocket: { port } }, target(), 1)).message, /connection refused$/);
  });

  test("that is late, or cannot be made, is bad", async () => {
    const server = createTcpServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    assert.match((await check({ httpGet: { port } }, target(), 0.05)).message, /context deadline exceeded/);
    assert.match((await check({ httpGet: { port: "none" } }, target(), 1)).message, /couldn't find port: "none"/);
    assert.match((await check({}, target(), 1)).message, /not supported/);
    server.close();
  });
});
