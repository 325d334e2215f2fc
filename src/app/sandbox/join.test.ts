// Two sides that are joined end together, also when one of them is gone before they are joined.
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { join } from "./control.ts";
import { joinDatagrams } from "./datagrams.ts";

async function connection(t: TestContext): Promise<Socket> {
  const server = createServer({ allowHalfOpen: true }, (socket) => socket.on("error", () => {}).resume());
  await once(server.listen(0, "127.0.0.1"), "listening");
  t.after(() => server.close());
  const socket = connect({ port: (server.address() as AddressInfo).port, host: "127.0.0.1", allowHalfOpen: true });
  await once(socket, "connect");
  return socket;
}

function gone(): Socket {
  return new Socket().destroy();
}

test("a client that went while its connection was being made takes it along", async (t) => {
  const upstream = await connection(t);
  join(gone(), upstream);
  assert.equal(upstream.destroyed, true);
  const client = await connection(t);
  join(client, gone());
  assert.equal(client.destroyed, true);
});

test("so does one of a UDP port", async () => {
  const udp = createSocket("udp4");
  const closed = once(udp, "close");
  joinDatagrams(gone(), udp);
  await closed;
});
