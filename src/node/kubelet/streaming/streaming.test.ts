import assert from "node:assert/strict";
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, request as httpRequest, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { after, before, test } from "node:test";
import { WebSocket } from "ws";
import type { ExecSession } from "#runtime";
import { serveStreams } from "./index.ts";
import { SPDY_DICTIONARY } from "./spdy/dictionary.ts";
import { controlFrame, dataFrame, FLAG_FIN, FRAME, FrameReader } from "./spdy/frames.ts";
import { HeaderCodec } from "./spdy/headers.ts";

/** A real process as a session. */
function sessionOf(child: ChildProcessWithoutNullStreams): ExecSession {
  const exit = once(child, "exit").then(([code]) => Number(code ?? 137));
  return { stdin: child.stdin, stdout: child.stdout, stderr: child.stderr, exit, resize() {}, close: () => void child.kill("SIGKILL") };
}

let server: Server;
let port: number;

before(async () => {
  server = createServer();
  server.on("upgrade", (request, socket: Duplex, head) => {
    const command = new URL(request.url ?? "", "http://x").searchParams.getAll("command");
    serveStreams(request, socket, head, async () => {
      const [file = "", ...args] = command;
      if (file === "missing") throw new Error("no such command");
      return sessionOf(spawn(file, args));
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  port = (server.address() as AddressInfo).port;
});
after(() => server.close());

const query = (...command: string[]): string =>
  `stdin=true&stdout=true&stderr=true&${command.map((word) => `command=${encodeURIComponent(word)}`).join("&")}`;

interface Result {
  readonly stdout: string;
  readonly stderr: string;
  readonly status: { readonly status?: string; readonly details?: { readonly causes: readonly { readonly message: string }[] } };
}

async function overWebSocket(protocol: string, stdin: readonly string[], ...command: string[]): Promise<Result> {
  const client = new WebSocket(`ws://127.0.0.1:${port}/exec?${query(...command)}`, protocol);
  const channels: Buffer[][] = [[], [], [], []];
  client.on("message", (data: Buffer) => channels[data[0] ?? 0]?.push(data.subarray(1)));
  await once(client, "open");
  assert.equal(client.protocol, protocol);
  for (const text of stdin) client.send(Buffer.concat([Buffer.of(0), Buffer.from(text)]));
  if (protocol.startsWith("v5")) client.send(Buffer.of(255, 0));
  await once(client, "close");
  const text = (n: number): string => Buffer.concat(channels[n] ?? []).toString();
  return { stdout: text(1), stderr: text(2), status: JSON.parse(text(3)) };
}

async function overSpdy(stdin: readonly string[], ...command: string[]): Promise<Result> {
  const headers = { connection: "Upgrade", upgrade: "SPDY/3.1", "x-stream-protocol-version": "v4.channel.k8s.io" };
  const request = httpRequest({ host: "127.0.0.1", port, method: "POST", path: `/exec?${query(...command)}`, headers });
  request.end();
  const [response, socket, head] = (await once(request, "upgrade")) as [{ headers: Record<string, string> }, Duplex, Buffer];
  assert.equal(response.headers["x-stream-protocol-version"], "v4.channel.k8s.io");
  const codec = new HeaderCodec();
  const types = ["error", "stdin", "stdout", "stderr"];
  for (const [i, type] of types.entries()) {
    const fixed = Buffer.alloc(10);
    fixed.writeUInt32BE(2 * i + 1);
    socket.write(controlFrame(FRAME.SYN_STREAM, 0, Buffer.concat([fixed, await codec.encode(new Map([["streamtype", type]]))])));
  }
  for (const text of stdin) socket.write(dataFrame(3, 0, Buffer.from(text)));
  socket.write(dataFrame(3, FLAG_FIN, Buffer.alloc(0)));
  const received = new Map<number, Buffer[]>();
  const ended = new Set<number>();
  const reader = new FrameReader();
  const done = Promise.withResolvers<void>();
  const onBytes = (chunk: Buffer): void => {
    for (const frame of reader.push(chunk)) {
      if (frame.kind !== "data") continue;
      received.set(frame.streamId, [...(received.get(frame.streamId) ?? []), frame.data]);
      if ((frame.flags & FLAG_FIN) !== 0) ended.add(frame.streamId);
    }
    if ([1, 5, 7].every((id) => ended.has(id))) done.resolve();
  };
  socket.on("data", onBytes);
  onBytes(head);
  await done.promise;
  socket.destroy();
  codec.close();
  const text = (id: number): string => Buffer.concat(received.get(id) ?? []).toString();
  return { stdout: text(5), stderr: text(7), status: JSON.parse(text(1)) };
}

const WAYS = {
  "WebSocket v5": (stdin: readonly string[], ...command: string[]) => overWebSocket("v5.channel.k8s.io", stdin, ...command),
  "SPDY/3.1": overSpdy,
};

for (const [name, run] of Object.entries(WAYS)) {
  test(`${name}: output, errors and exit code`, async () => {
    const result = await run([], "sh", "-c", "echo out; echo err >&2; exit 3");
    assert.deepEqual([result.stdout, result.stderr], ["out\n", "err\n"]);
    assert.equal(result.status.details?.causes[0]?.message, "3");
  });

  test(`${name}: input, its end, and a large output`, async () => {
    const result = await run(["hello\n", "x".repeat(300_000)], "cat");
    assert.equal(result.stdout, `hello\n${"x".repeat(300_000)}`);
    assert.equal(result.status.status, "Success");
  });

  test(`${name}: a command that cannot start is a failure with its reason`, async () => {
    const result = await run([], "missing");
    assert.match(JSON.stringify(result.status), /no such command/);
  });
}

test("WebSocket v4 has everything but the end of input", async () => {
  const result = await overWebSocket("v4.channel.k8s.io", [], "sh", "-c", "echo out; exit 1");
  assert.equal(result.stdout, "out\n");
  assert.equal(result.status.details?.causes[0]?.message, "1");
});

test("the dictionary is the specification's", () => {
  assert.equal(SPDY_DICTIONARY.length, 1423);
});
