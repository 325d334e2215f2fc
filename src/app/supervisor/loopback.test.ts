import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { bindLoopback, listenLoopback, openWhenFree } from "./loopback.ts";

async function answers(port: number): Promise<boolean> {
  const socket = connect({ host: "127.0.0.1", port });
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

test("a port that is taken is published when it is free, and given back in the end", async () => {
  const other = createServer((socket) => socket.destroy()).listen(0, "127.0.0.1");
  await once(other, "listening");
  const { port } = other.address() as AddressInfo;
  const abort = new AbortController();
  const taken = Promise.withResolvers<unknown>();
  const connected = Promise.withResolvers<void>();
  const onConnection = (socket: Socket): void => {
    socket.destroy();
    connected.resolve();
  };
  const listening = openWhenFree(() => listenLoopback(port, onConnection), { signal: abort.signal, onTaken: taken.resolve });
  assert.match(String(await taken.promise), new RegExp(`port ${port} of 127\\.0\\.0\\.1 is taken`));
  other.close();
  await listening;
  assert.equal(await answers(port), true);
  await connected.promise;
  abort.abort();
  assert.equal(await answers(port), false);
});

test("what is no longer wanted is not tried again", async () => {
  const other = createServer().listen(0, "127.0.0.1");
  await once(other, "listening");
  const abort = new AbortController();
  const { port } = other.address() as AddressInfo;
  await openWhenFree(() => listenLoopback(port, () => {}), { signal: abort.signal, onTaken: () => abort.abort() });
  other.close();
});

test("a UDP port is bound on every address, and told apart from one that is taken", async () => {
  const addresses: string[] = [];
  const other = createSocket("udp4");
  other.bind(0, "127.0.0.1");
  await once(other, "listening");
  const { port } = other.address();
  await assert.rejects(
    bindLoopback(port, () => {}),
    { code: "EADDRINUSE", message: `port ${port} of 127.0.0.1 is taken; free it or choose another one` },
  );
  other.close();
  await once(other, "close");
  const bound = await bindLoopback(port, (socket) => addresses.push(socket.address().address));
  for (const socket of bound) socket.close();
  assert.equal(addresses[0], "127.0.0.1");
  assert.ok(bound.length === addresses.length);
});
