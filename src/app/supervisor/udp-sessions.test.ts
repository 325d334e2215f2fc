// UDP over a Unix stream, from clients of a port to a socket that stands for a NodePort, and back.
import assert from "node:assert/strict";
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { type TestContext, test } from "node:test";
import { silentLogger } from "#base";
import { joinDatagrams } from "../sandbox/datagrams.ts";
import { serveUdpSessions, type UdpSessionsOptions } from "./udp-sessions.ts";

async function bound(t: TestContext): Promise<UdpSocket> {
  const socket = createSocket("udp4");
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  t.after(() => socket.close());
  return socket;
}

interface Published {
  readonly port: number;
  /** The ports from which the server was asked. */
  readonly askedFrom: Set<number>;
  readonly streams: Set<Socket>;
}

/** A server that says back what it is told, twice, behind a published port. */
async function publish(t: TestContext, options: Partial<UdpSessionsOptions> = {}): Promise<Published> {
  const server = await bound(t);
  const askedFrom = new Set<number>();
  server.on("message", (datagram, from) => {
    askedFrom.add(from.port);
    for (let i = 0; i < 2; i++) server.send(datagram, from.port, from.address);
  });
  const dir = mkdtempSync(`${tmpdir()}/fairlead-udp-`);
  const streams = new Set<Socket>();
  const door = createServer({ allowHalfOpen: true }, (stream) => {
    streams.add(stream);
    stream.on("error", () => {}).once("close", () => streams.delete(stream));
    const udp = createSocket("udp4");
    udp.connect(server.address().port, "127.0.0.1", () => joinDatagrams(stream, udp));
  });
  door.listen(`${dir}/door`);
  await once(door, "listening");
  const listening = createSocket("udp4");
  listening.bind(0, "127.0.0.1");
  await once(listening, "listening");
  serveUdpSessions(listening, {
    dial: async () => connect({ path: `${dir}/door`, allowHalfOpen: true }),
    logger: silentLogger,
    ...options,
  });
  t.after(() => {
    listening.close();
    door.close();
    rmSync(dir, { recursive: true, force: true });
  });
  return { port: listening.address().port, askedFrom, streams };
}

/** What comes, until `count` datagrams have. */
async function answers(client: UdpSocket, count: number): Promise<Buffer[]> {
  const received: Buffer[] = [];
  while (received.length < count) received.push(((await once(client, "message")) as [Buffer])[0]);
  return received;
}

async function until(look: () => boolean): Promise<void> {
  while (!look()) await new Promise((resolve) => setTimeout(resolve, 2));
}

test("datagrams keep their boundaries, empty and big ones too, and each client gets its own answers", async (t) => {
  const { port, askedFrom, streams } = await publish(t);
  const one = await bound(t);
  const two = await bound(t);
  const sent = ["one", "", "x".repeat(60_000), "four"];
  const all = answers(one, 8);
  const others = answers(two, 2);
  for (const text of sent) one.send(text, port, "127.0.0.1");
  two.send("other", port, "127.0.0.1");
  assert.deepEqual(
    (await all).map((datagram) => datagram.length),
    [3, 3, 0, 0, 60_000, 60_000, 4, 4],
  );
  assert.deepEqual((await others).map(String), ["other", "other"]);
  assert.equal(askedFrom.size, 2);
  assert.equal(streams.size, 2);
});

test("a client that is silent is forgotten, and is a new one when it speaks again", async (t) => {
  const { port, askedFrom, streams } = await publish(t, { idleMs: 50 });
  const client = await bound(t);
  for (const text of ["first", "second"]) {
    const two = answers(client, 2);
    client.send(text, port, "127.0.0.1");
    assert.deepEqual((await two).map(String), [text, text]);
    await until(() => streams.size === 0);
  }
  assert.equal(askedFrom.size, 2);
});

test("of too many clients the one that was silent longest is forgotten", async (t) => {
  const { port, streams } = await publish(t, { maxSessions: 2 });
  for (let i = 0; i < 4; i++) {
    const client = await bound(t);
    const two = answers(client, 2);
    client.send("x", port, "127.0.0.1");
    await two;
  }
  await until(() => streams.size === 2);
});

test("when the sandbox cannot be reached, or goes, nothing is kept", async (t) => {
  let calls = 0;
  const published = await publish(t, {
    dial: async () => {
      calls++;
      throw new Error("it is gone");
    },
  });
  const client = await bound(t);
  for (let i = 1; i < 3; i++) {
    client.send("x", published.port, "127.0.0.1");
    await until(() => calls === i);
  }
});
