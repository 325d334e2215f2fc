// The kubelet's server over real connections, with a runtime in memory.
import assert from "node:assert/strict";
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname } from "node:path";
import { after, before, describe, test } from "node:test";
import { WebSocket } from "ws";
import { silentLogger } from "#base";
import type { StoredPod } from "../pod-spec.ts";
import { FakeRuntime } from "../testing/fake-runtime.ts";
import { SpdyTestClient } from "../testing/spdy-client.ts";
import { logOptions, serveKubelet, streamRequest } from "./index.ts";

const PORT = 32_000 + (process.pid % 1000);
const dir = mkdtempSync(`${tmpdir()}/fairlead-kubelet-server-`);
const runtime = new FakeRuntime();
const stop = new AbortController();
const POD: StoredPod = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "web", namespace: "default", uid: "u", resourceVersion: "1", creationTimestamp: "" },
  spec: { containers: [{ name: "c" }, { name: "later" }] },
};
let logFile = "";

before(async () => {
  const sandbox = await runtime.runPodSandbox({
    metadata: { name: "web", uid: "u", namespace: "default", attempt: 0 },
    hostname: "web",
    logDirectory: `${dir}/log`,
    dnsConfig: { servers: [], searches: [], options: [] },
    namespaces: { network: "pod", pid: "container", ipc: "pod" },
    labels: {},
    annotations: {},
  });
  const config = { image: "x", command: [], args: [], envs: [], mounts: [], labels: {}, annotations: {} };
  for (const attempt of [0, 1]) {
    const id = await runtime.createContainer(sandbox, { ...config, metadata: { name: "c", attempt }, logPath: `c/${attempt}.log` });
    await runtime.startContainer(id);
    if (attempt === 0) runtime.exit("c", 1);
    logFile = (await runtime.containerStatus(id)).logPath;
    mkdirSync(dirname(logFile), { recursive: true });
    const line = (n: number, tag = "F"): string => `2026-01-01T00:00:0${n}.000000000Z stdout ${tag} line ${n}\n`;
    writeFileSync(logFile, attempt === 0 ? line(9) : `${line(1)}${line(2)}${line(3, "P")}${line(4)}`);
  }
  await serveKubelet({
    addresses: ["127.0.0.1", "::1"],
    port: PORT,
    token: "secret",
    nodeName: "node-1",
    runtime,
    pods: () => [POD],
    debugPages: {
      echo: async ({ path, query, body }) => ({ path, query: Object.fromEntries(query), body }),
      counts: async ({ signal }) => counts(signal),
      nothing: async () => undefined,
    },
    logger: silentLogger,
    signal: stop.signal,
  });
});

after(() => {
  stop.abort();
  rmSync(dir, { recursive: true, force: true });
});

const HEADERS = { authorization: "Bearer secret" };

async function get(path: string, headers: Record<string, string> = HEADERS): Promise<[number, string]> {
  const res = await fetch(`http://127.0.0.1:${PORT}${path}`, { headers });
  return [res.status, await res.text()];
}

describe("access", () => {
  test("a bearer token is needed for all but /healthz", async () => {
    assert.deepEqual(await get("/healthz", {}), [200, "ok"]);
    assert.deepEqual(await get("/pods", {}), [401, "Unauthorized"]);
    assert.deepEqual(await get("/pods", { authorization: "Bearer wrong" }), [401, "Unauthorized"]);
    assert.equal((await fetch(`http://[::1]:${PORT}/healthz`)).status, 200);
  });

  test("pods and metrics", async () => {
    const [status, text] = await get("/pods");
    assert.equal(status, 200);
    assert.equal(JSON.parse(text).items[0].metadata.name, "web");
    assert.match((await get("/metrics"))[1], /^kubelet_running_pods 1$/m);
    assert.equal((await get("/none"))[0], 404);
  });
});

async function* counts(signal: AbortSignal): AsyncGenerator<number> {
  try {
    for (let n = 1; !signal.aborted; n++) yield n;
  } finally {
    countsEnded.resolve();
  }
}

const countsEnded = Promise.withResolvers<void>();

describe("debug pages", () => {
  const post = (path: string, body: string): Promise<Response> =>
    fetch(`http://127.0.0.1:${PORT}${path}`, { method: "POST", headers: HEADERS, body });

  test("get what follows their name, the query and a body", async () => {
    assert.deepEqual(await get("/debug/echo/a%2Fb/c?x=1"), [200, '{"path":["a/b","c"],"query":{"x":"1"}}']);
    assert.deepEqual(await (await post("/debug/echo", '{"n":[1]}')).json(), { path: [], query: {}, body: { n: [1] } });
  });

  test("a page that is not there, knows nothing, or is asked nonsense", async () => {
    assert.deepEqual(await get("/debug/none/x"), [404, "this node knows nothing of none/x"]);
    assert.equal((await get("/debug/nothing"))[0], 404);
    const refused = await post("/debug/echo", "{");
    assert.deepEqual([refused.status, await refused.text()], [400, "body: not JSON"]);
    assert.equal((await post("/debug/echo", `"${"x".repeat(70_000)}"`)).status, 400);
  });

  test("a stream has a line for each value, and ends with its client", async () => {
    const res = await fetch(`http://127.0.0.1:${PORT}/debug/counts`, { headers: HEADERS });
    assert.equal(res.headers.get("content-type"), "application/x-ndjson");
    const reader = res.body?.getReader() ?? assert.fail();
    const { value } = await reader.read();
    assert.match(Buffer.from(value ?? []).toString(), /^1\n/);
    await reader.cancel();
    await countsEnded.promise;
  });
});

describe("logs", () => {
  const TABLE: readonly [string, string][] = [
    ["", "line 1\nline 2\nline 3line 4\n"],
    ["?tailLines=2", "line 3line 4\n"],
    ["?tailLines=0", ""],
    ["?tailLines=99", "line 1\nline 2\nline 3line 4\n"],
    ["?timestamps=true&tailLines=2", "2026-01-01T00:00:03.000000000Z line 3line 4\n"],
    ["?limitBytes=9", "line 1\nli"],
    ["?sinceTime=2026-01-01T00:00:02Z", "line 2\nline 3line 4\n"],
    ["?sinceSeconds=1", ""],
    ["?previous=true", "line 9\n"],
  ];
  for (const [query, text] of TABLE) {
    test(`with "${query}"`, async () => assert.deepEqual(await get(`/containerLogs/default/web/c${query}`), [200, text]));
  }

  test("what cannot be read says why", async () => {
    assert.deepEqual(await get("/containerLogs/default/no/c"), [404, 'pod "no" not found in namespace "default" on node node-1']);
    assert.deepEqual(await get("/containerLogs/default/web/no"), [404, 'container "no" not found in pod "web"']);
    assert.deepEqual(await get("/containerLogs/default/web/later"), [
      400,
      'container "later" in pod "web" is waiting to start: ContainerCreating',
    ]);
    assert.equal((await get("/containerLogs/default/web/later?previous=true"))[0], 400);
    for (const bad of ["tailLines=-1", "tailLines=x", "limitBytes=0", "sinceSeconds=0", "sinceTime=yesterday"]) {
      assert.throws(() => logOptions(new URLSearchParams(bad)), { code: "Http400" }, bad);
    }
  });

  test("following goes on until the container ends", async () => {
    const res = await fetch(`http://127.0.0.1:${PORT}/containerLogs/default/web/c?follow=true&tailLines=1`, { headers: HEADERS });
    let text = "";
    const all = (async () => {
      for await (const chunk of res.body ?? []) text += Buffer.from(chunk).toString();
    })();
    const seen = async (wanted: string): Promise<void> => {
      while (!text.includes(wanted)) await new Promise((resolve) => setTimeout(resolve, 2));
    };
    await seen("line 4\n");
    appendFileSync(logFile, "2026-01-01T00:00:05.000000000Z stdout F five\n2026-01-01T00:00:05.000000000Z stdout F half a");
    await seen("five\n");
    appendFileSync(logFile, " line\n");
    await seen("half a line\n");
    appendFileSync(logFile, "2026-01-01T00:00:06.000000000Z stdout F last\n");
    const id = runtime.find("c")?.status.id ?? "";
    const { status } = runtime.containers.get(id) ?? {};
    assert.ok(status);
    runtime.exit("c", 0);
    await all;
    assert.equal(text, "line 4\nfive\nhalf a line\nlast\n");
    // For the tests that follow.
    const container = runtime.containers.get(id);
    if (container !== undefined) container.status = status;
  });
});

interface Session {
  readonly output: Record<number, string>;
  readonly status: Promise<{ status: string; message?: string; details?: { causes: { reason: string; message: string }[] } }>;
  send(channel: number, data: string): void;
}

async function openWebSocket(path: string, protocol: string): Promise<Session> {
  const socket = new WebSocket(`ws://127.0.0.1:${PORT}${path}`, protocol, { headers: HEADERS });
  const output: Record<number, string> = {};
  const status = Promise.withResolvers<Awaited<Session["status"]>>();
  socket.on("message", (data: Buffer) => {
    const channel = data[0] ?? -1;
    output[channel] = (output[channel] ?? "") + data.subarray(1).toString();
  });
  socket.on("close", () => status.resolve(JSON.parse(output[3] ?? "{}")));
  await new Promise<void>((resolve, reject) => {
    socket.once("open", resolve);
    socket.once("unexpected-response", (_, res) => reject(new Error(`answered ${res.statusCode}`)));
    socket.once("error", reject);
  });
  return { output, status: status.promise, send: (channel, data) => socket.send(Buffer.concat([Buffer.of(channel), Buffer.from(data)])) };
}

const EXEC = "/exec/default/web/c?input=1&output=1&error=1";

describe("exec", () => {
  for (const protocol of ["v5.channel.k8s.io", "v4.channel.k8s.io"]) {
    test(`over WebSocket, ${protocol}`, async () => {
      const { output, status } = await openWebSocket(`${EXEC}&command=exit&command=7`, protocol);
      assert.deepEqual((await status).details?.causes, [{ reason: "ExitCode", message: "7" }]);
      assert.equal(output[2], "leaving\n");
    });
  }

  test("input is passed on, and its end with v5", async () => {
    const session = await openWebSocket(`${EXEC}&command=cat`, "v5.channel.k8s.io");
    session.send(0, "one ");
    session.send(0, "two");
    session.send(255, "\0");
    assert.deepEqual(await session.status, { metadata: {}, status: "Success" });
    assert.equal(session.output[1], "one two");
  });

  test("a terminal changes its size", async () => {
    const session = await openWebSocket("/exec/default/web/c?input=1&output=1&tty=1&command=cat", "v5.channel.k8s.io");
    session.send(4, '{"Width":80,"Height":24}');
    while (session.output[1] !== "80x24\n") await new Promise((resolve) => setTimeout(resolve, 2));
    session.send(255, "\0");
  });

  test("a size that comes before the process runs is not lost", async () => {
    const path = "/exec/default/web/c?input=1&output=1&tty=1&command=cat";
    const session = await openWebSocket(path, "v5.channel.k8s.io");
    runtime.execDelayMs = 30;
    const late = await openWebSocket(path, "v5.channel.k8s.io");
    late.send(4, '{"Width":99,"Height":31}');
    while (late.output[1] !== "99x31\n") await new Promise((resolve) => setTimeout(resolve, 2));
    const client = await SpdyTestClient.open(PORT, path, "secret");
    await client.openStream("error");
    await client.openStream("stdin");
    const stdout = await client.openStream("stdout");
    client.send(await client.openStream("resize"), '{"Width":98,"Height":30}\n');
    while (client.received.get(stdout)?.text !== "98x30\n") await new Promise((resolve) => setTimeout(resolve, 2));
    runtime.execDelayMs = 0;
    for (const open of [session, late]) open.send(255, "\0");
  });

  test("what cannot be started is told as a Status", async () => {
    const { status } = await openWebSocket(`${EXEC}&command=fail`, "v5.channel.k8s.io");
    assert.match((await status).message ?? "", /^Internal error occurred: error executing command in container: exec: "fail"/);
  });

  test("wrong requests are refused before the upgrade", async () => {
    await assert.rejects(openWebSocket("/exec/default/no/c?output=1&command=x", "v5.channel.k8s.io"), /answered 404/);
    await assert.rejects(openWebSocket("/exec/default/web/c?command=x", "v5.channel.k8s.io"), /answered 400/);
    await assert.rejects(openWebSocket(`${EXEC}&command=x`, "v9.channel.k8s.io"), /answered 403/);
    assert.equal((await get(`${EXEC}&command=x`))[0], 400);
    assert.deepEqual(streamRequest(new URLSearchParams("stdout=true&tty=true&stderr=true")), {
      stdin: false,
      stdout: true,
      stderr: false,
      tty: true,
    });
  });

  test("over SPDY/3.1", async () => {
    const client = await SpdyTestClient.open(PORT, `${EXEC}&command=cat`, "secret");
    const error = await client.openStream("error");
    const stdin = await client.openStream("stdin");
    const stdout = await client.openStream("stdout");
    const stderr = await client.openStream("stderr");
    client.ping(5);
    client.send(stdin, "hello ");
    client.send(stdin, "x".repeat(100_000), true);
    await client.closed;
    assert.deepEqual(client.replies, [error, stdin, stdout, stderr]);
    assert.deepEqual(client.pings, [5]);
    assert.equal(client.received.get(stdout)?.text, `hello ${"x".repeat(100_000)}`);
    assert.deepEqual(JSON.parse(client.received.get(error)?.text ?? ""), { metadata: {}, status: "Success" });
    assert.deepEqual(
      [error, stdout, stderr].map((id) => client.received.get(id)?.ended),
      [true, true, true],
    );
  });

  test("over SPDY/3.1: exit code and errors", async () => {
    for (const [command, pattern] of [
      ["command=exit&command=3", /"reason":"ExitCode","message":"3"/],
      ["command=fail", /InternalError/],
    ] as const) {
      const client = await SpdyTestClient.open(PORT, `/exec/default/web/c?output=1&error=1&${command}`, "secret");
      const ids = [await client.openStream("error"), await client.openStream("stdout"), await client.openStream("stderr")];
      await client.closed;
      assert.match(client.received.get(ids[0] ?? 0)?.text ?? "", pattern);
    }
    await assert.rejects(SpdyTestClient.open(PORT, EXEC, "wrong"), /^Error: HTTP\/1\.1 401 /);
  });
});
