import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { test } from "node:test";
import { listenWhenFree } from "./publish.ts";

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
  const listening = listenWhenFree(port, {
    signal: abort.signal,
    onTaken: taken.resolve,
    onConnection: (socket) => {
      socket.destroy();
      connected.resolve();
    },
  });
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
  await listenWhenFree(port, { signal: abort.signal, onTaken: () => abort.abort(), onConnection: () => {} });
  other.close();
});
