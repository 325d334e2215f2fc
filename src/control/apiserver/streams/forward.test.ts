import assert from "node:assert/strict";
import { once } from "node:events";
import { IncomingMessage } from "node:http";
import { type AddressInfo, createServer, Socket } from "node:net";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { forwardUpgrade } from "./forward.ts";

test("a client that went before the target was reached asks nothing of it", async (t) => {
  let asked = "";
  const ended = Promise.withResolvers<void>();
  const server = createServer((socket) => {
    socket.on("data", (chunk: Buffer) => {
      asked += chunk.toString();
    });
    socket.once("close", () => ended.resolve());
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  t.after(() => server.close());
  const target = { host: "127.0.0.1", port: (server.address() as AddressInfo).port, path: "/exec/a/b/c", tls: false, headers: {} };
  const client = new PassThrough();
  const forwarded = forwardUpgrade(new IncomingMessage(new Socket()), client, Buffer.alloc(0), target);
  client.destroy();
  await forwarded;
  await ended.promise;
  assert.equal(asked, "");
});
