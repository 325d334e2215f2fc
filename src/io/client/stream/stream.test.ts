import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type WebSocket, WebSocketServer } from "ws";
import { type ClientConfig, createHttpClient, isNotFound } from "../index.ts";
import { exec, openLogs } from "./index.ts";

const POD = { namespace: "ns", name: "p" };

async function serve(onExec: (socket: WebSocket, url: URL) => void) {
  const dir = mkdtempSync(join(tmpdir(), "fairlead-stream-"));
  const socketPath = join(dir, "api.sock");
  const server = createServer((req, res) => {
    const url = new URL(req.url ?? "", "http://localhost");
    const log = url.pathname.endsWith("/log");
    const missing = { kind: "Status", code: 404, reason: "NotFound", message: 'pods "p" not found' };
    if (!log || url.searchParams.get("container") === "none") res.writeHead(404).end(JSON.stringify(missing));
    else res.writeHead(200).end(`one\ntwo ${url.searchParams.toString()}\n`);
  });
  const sockets = new WebSocketServer({ noServer: true, handleProtocols: (offered) => [...offered][0] ?? false });
  server.on("upgrade", (req, socket, head) => {
    const url = new URL(req.url ?? "", "http://localhost");
    if (url.searchParams.get("container") === "none") {
      const body = JSON.stringify({ kind: "Status", code: 404, reason: "NotFound", message: 'pods "p" not found' });
      socket.end(`HTTP/1.1 404 Not Found\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
      return;
    }
    sockets.handleUpgrade(req, socket, head, (ws) => onExec(ws, url));
  });
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  const config: ClientConfig = { server: "http://localhost", socketPath, token: "t" };
  return {
    config,
    async [Symbol.asyncDispose]() {
      for (const client of sockets.clients) client.terminate();
      await new Promise((resolve) => server.close(resolve));
      rmSync(dir, { recursive: true });
    },
  };
}

function finish(socket: WebSocket, status: object): void {
  socket.send(Buffer.concat([Buffer.from([3]), Buffer.from(JSON.stringify(status))]));
  socket.close(1000);
}

test("exec sends input, receives both outputs and the exit code", async () => {
  await using server = await serve((socket, url) => {
    assert.equal(socket.protocol, "v5.channel.k8s.io");
    assert.deepEqual(url.searchParams.getAll("command"), ["sh", "-c", "cat; exit 3"]);
    socket.on("message", (data: Buffer) => {
      if (data[0] === 0) {
        socket.send(Buffer.concat([Buffer.from([1]), data.subarray(1)]));
        socket.send(Buffer.from("\u0002oops"));
        return;
      }
      assert.deepEqual([...data], [255, 0]);
      finish(socket, { status: "Failure", reason: "NonZeroExitCode", details: { causes: [{ reason: "ExitCode", message: "3" }] } });
    });
  });
  const seen: string[] = [];
  const code = await exec(server.config, POD, {
    command: ["sh", "-c", "cat; exit 3"],
    stdin: (async function* () {
      yield Buffer.from("hello");
    })(),
    onStdout: (chunk) => seen.push(`out ${chunk.toString()}`),
    onStderr: (chunk) => seen.push(`err ${chunk.toString()}`),
  });
  assert.equal(code, 3);
  assert.deepEqual(seen, ["out hello", "err oops"]);
});

test("exec fails with the API's words, and when the connection goes away", async () => {
  await using server = await serve((socket, url) => {
    if (url.searchParams.get("command") === "lost") socket.terminate();
    else finish(socket, { status: "Failure", reason: "InternalError", message: "no such file", code: 500 });
  });
  const run = (command: string, container?: string) =>
    exec(server.config, POD, { command: [command], container, onStdout: () => {}, onStderr: () => {} });
  await assert.rejects(run("true", "none"), isNotFound);
  await assert.rejects(run("absent"), { code: "InternalError", message: "no such file" });
  await assert.rejects(run("lost"), { code: "ConnectionLost" });
});

test("logs come as they are written", async () => {
  await using server = await serve(() => {});
  const client = createHttpClient(server.config);
  const read = async (container: string): Promise<string> => {
    let text = "";
    for await (const chunk of openLogs(client, POD, { container, follow: true, tailLines: 5 })) text += chunk.toString();
    return text;
  };
  assert.equal(await read("c"), "one\ntwo container=c&follow=true&tailLines=5\n");
  await assert.rejects(read("none"), isNotFound);
  client.close();
});
