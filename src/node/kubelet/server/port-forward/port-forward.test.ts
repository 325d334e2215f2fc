// Port forwarding in every way that clients ask for it; ports of this machine stand in for those of a pod.
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { after, before, describe, test } from "node:test";
import { createWebSocketStream, WebSocket } from "ws";
import { silentLogger } from "#base";
import type { StoredPod } from "../../pod-spec.ts";
import { FakeRuntime } from "../../testing/fake-runtime.ts";
import { SpdyTestClient } from "../../testing/spdy-client.ts";
import { serveKubelet } from "../index.ts";

const PORT = 33_000 + (process.pid % 1000);
const PATH = "/portForward/default/web";
const stop = new AbortController();
const runtime = new FakeRuntime();
const connections = new Set<Socket>();
let echo: Server;
let port = 0;
let closedPort = 0;

async function listen(server: Server): Promise<number> {
  await once(server.listen(0, "127.0.0.1"), "listening");
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

before(async () => {
  // Answers once all has come, so that half-closed connections are needed.
  echo = createServer({ allowHalfOpen: true }, (socket) => {
    connections.add(socket);
    socket.on("error", () => {}).once("close", () => connections.delete(socket));
    const chunks: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => chunks.push(chunk)).once("end", () => socket.end(Buffer.concat(chunks)));
  });
  port = await listen(echo);
  const other = createServer();
  closedPort = await listen(other);
  other.close();
  const metadata = { name: "web", uid: "u", namespace: "default", attempt: 0 };
  const dnsConfig = { servers: [], searches: [], options: [] };
  const namespaces = { network: "pod", pid: "container", ipc: "pod" } as const;
  await runtime.runPodSandbox({ metadata, hostname: "web", logDirectory: "", dnsConfig, namespaces, labels: {}, annotations: {} });
  const pod = (name: string, uid: string): StoredPod => ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default", uid, resourceVersion: "1", creationTimestamp: "" },
    spec: { containers: [] },
  });
  await serveKubelet({
    addresses: ["127.0.0.1"],
    port: PORT,
    token: "secret",
    nodeName: "node-1",
    runtime,
    pods: () => [pod("web", "u"), pod("ended", "v")],
    logger: silentLogger,
    signal: stop.signal,
  });
});

after(() => {
  stop.abort();
  echo.close();
});

const TUNNEL = "SPDY/3.1+portforward.k8s.io";

/** The protocol's name is no token (RFC 6455 §4.1): clients that look at that, such as this one, must have it said for them. */
async function tunnelSocket(): Promise<WebSocket> {
  const rename = createServer((socket) => {
    const upstream = connect(PORT, "127.0.0.1");
    socket.on("error", () => upstream.destroy()).once("close", () => upstream.destroy());
    upstream.on("error", () => socket.destroy()).once("close", () => socket.destroy());
    socket.once("data", (head: Buffer) => {
      upstream.write(
        head.toString("latin1").replace("protocol: tunnel", `protocol: ${TUNNEL}`).replace("Protocol: tunnel", `Protocol: ${TUNNEL}`),
      );
      socket.pipe(upstream);
    });
    upstream.once("data", (head: Buffer) => {
      const text = head.toString("latin1");
      assert.match(text, /^Sec-WebSocket-Protocol: SPDY\/3\.1\+portforward\.k8s\.io\r$/m);
      socket.write(Buffer.from(text.replace(TUNNEL, "tunnel"), "latin1"));
      upstream.pipe(socket);
    });
  });
  const client = webSocket(["tunnel"], "", await listen(rename));
  await once(client, "open");
  rename.close();
  return client;
}

function webSocket(protocols: readonly string[], query = "", at = PORT): WebSocket {
  return new WebSocket(`ws://127.0.0.1:${at}${PATH}${query}`, [...protocols], { headers: { authorization: "Bearer secret" } });
}

async function until(look: () => boolean): Promise<void> {
  while (!look()) await new Promise((resolve) => setTimeout(resolve, 2));
}

const CARRIERS: Readonly<Record<string, () => Promise<SpdyTestClient>>> = {
  "SPDY/3.1": () => SpdyTestClient.open(PORT, PATH, "secret", ["portforward.k8s.io"]),
  "SPDY/3.1 inside a WebSocket": async () => SpdyTestClient.over(createWebSocketStream(await tunnelSocket())),
};

interface Forwarded {
  readonly text: string;
  readonly error: string;
}

/** As kubectl does it for one connection. */
async function forward(client: SpdyTestClient, to: number, id: number, text: string): Promise<Forwarded> {
  const headers = { port: String(to), requestid: String(id) };
  const error = await client.openStream("error", headers, true);
  const data = await client.openStream("data", headers);
  client.send(data, text, true);
  await until(() => client.received.get(data)?.ended === true && client.received.get(error)?.ended === true);
  client.reset(data);
  return { text: client.received.get(data)?.text ?? "", error: client.received.get(error)?.text ?? "" };
}

for (const [name, open] of Object.entries(CARRIERS)) {
  describe(`over ${name}`, () => {
    test("connections side by side, of any size, and half-closed", async () => {
      const client = await open();
      const texts = ["short", "x".repeat(3_000_000), ""];
      const all = await Promise.all(texts.map((text, i) => forward(client, port, i, text)));
      assert.deepEqual(
        all.map(({ text, error }) => [text.length, error]),
        texts.map((text) => [text.length, ""]),
      );
      await until(() => connections.size === 0);
      client.close();
    });

    test("where nothing listens the client is told, and goes on", async () => {
      const client = await open();
      const refused = await forward(client, closedPort, 0, "");
      assert.match(refused.error, new RegExp(`^error forwarding port ${closedPort} to pod web, uid u: .*ECONNREFUSED`));
      assert.match((await forward(client, 99_999, 1, "")).error, /"99999" is not a port/);
      assert.deepEqual(await forward(client, port, 2, "still here"), { text: "still here", error: "" });
      client.close();
    });

    test("a client that goes away takes its connections along", async () => {
      const client = await open();
      const headers = { port: String(port), requestid: "0" };
      await client.openStream("error", headers, true);
      client.send(await client.openStream("data", headers), "begun");
      await until(() => connections.size === 1);
      client.close();
      await until(() => connections.size === 0);
    });
  });
}

test("streams without a request's number belong together by their order", async () => {
  const client = await CARRIERS["SPDY/3.1"]?.();
  assert.ok(client);
  const headers = { port: String(port) };
  const error = await client.openStream("error", headers, true);
  const data = await client.openStream("data", headers);
  client.send(data, "old", true);
  await until(() => client.received.get(data)?.ended === true && client.received.get(error)?.ended === true);
  assert.equal(client.received.get(data)?.text, "old");
  client.close();
});

test("over channels of a WebSocket, two for each port of the query", async () => {
  const socket = webSocket(["v4.channel.k8s.io"], `?ports=${port}&ports=${closedPort}`);
  const received: Buffer[] = [];
  socket.on("message", (message: Buffer) => {
    const channel = message[0] ?? -1;
    received[channel] = Buffer.concat([received[channel] ?? Buffer.alloc(0), message.subarray(1)]);
  });
  await once(socket, "open");
  socket.send(Buffer.from("\0hello "));
  socket.send(Buffer.from("\0you"));
  await until(() => (received[3]?.length ?? 0) > 2 && connections.size === 1);
  for (const connection of connections) connection.end("bye");
  await until(() => (received[0]?.length ?? 0) > 2);
  const number = (of: number): Buffer => Buffer.of(of & 255, of >> 8);
  assert.deepEqual(received[0], Buffer.concat([number(port), Buffer.from("bye")]));
  assert.deepEqual(received[1], number(port));
  assert.deepEqual(received[2], number(closedPort));
  assert.deepEqual(received[3]?.subarray(0, 2), number(closedPort));
  assert.match(received[3]?.toString() ?? "", /ECONNREFUSED/);
  socket.terminate();
});

test("a port that is refused does not hold back the other ones, and the connection ends with the last of them", async () => {
  const socket = webSocket(["v4.channel.k8s.io"], `?ports=${closedPort}&ports=${port}`);
  const closed = once(socket, "close");
  let refusal = "";
  let echoed = "";
  socket.on("message", (message: Buffer) => {
    if (message[0] === 1) refusal += message.toString("latin1", 1);
    if (message[0] === 2) echoed += message.toString("latin1", 1);
  });
  await once(socket, "open");
  await until(() => refusal.includes("ECONNREFUSED") && connections.size === 1);
  const [connection] = connections;
  const arrived = new Promise((resolve) => connection?.once("data", resolve));
  for (let i = 0; i < 20; i++) socket.send(Buffer.concat([Buffer.of(0), Buffer.alloc(64 * 1024)]));
  socket.send(Buffer.from("\x02hello"));
  await arrived;
  connection?.end("bye");
  await closed;
  assert.ok(echoed.endsWith("bye"));
});

test("what cannot be served is refused before the upgrade", async () => {
  const spdy = (path: string, protocol = "portforward.k8s.io"): Promise<SpdyTestClient> =>
    SpdyTestClient.open(PORT, path, "secret", [protocol]);
  await assert.rejects(spdy("/portForward/default/none"), /HTTP\/1.1 404 [\s\S]*pod "none" not found/);
  await assert.rejects(spdy("/portForward/default/ended"), /HTTP\/1.1 500 [\s\S]*pod "ended" is not running/);
  await assert.rejects(
    spdy(PATH, "v9.k8s.io"),
    /HTTP\/1.1 403 [\s\S]*client supports \[v9.k8s.io\], server supports \[portforward.k8s.io\]/,
  );
  const plain = await fetch(`http://127.0.0.1:${PORT}${PATH}`, { headers: { authorization: "Bearer secret" } });
  assert.equal(plain.status, 400);
});
