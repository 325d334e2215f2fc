import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { closeSync, readdirSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { after, test } from "node:test";
import { type Addr, parseAddr } from "#ip";
import { connectSocket, listenFd, udpFd } from "./index.ts";
import { twoNamespaces } from "./testing/two-namespaces.ts";

const both = twoNamespaces();
const { near, far } = both;
after(() => both.close());

for (const text of ["10.9.0.2", "fd09::2"]) {
  const addr: Addr = parseAddr(text);

  test(`a TCP server and a client in two namespaces: ${text}`, async () => {
    const server = createServer((socket) => socket.end(`hello ${socket.remoteAddress}`));
    server.listen({ fd: listenFd(far, addr, 0) });
    await once(server, "listening");
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const client: Socket = connectSocket(near, { addr, port });
    let text = "";
    client.on("data", (chunk) => {
      text += String(chunk);
    });
    await once(client, "close");
    assert.match(text, /^hello (10\.9\.0\.1|fd09::1)$/);
    server.close();
    await once(server, "close");
  });

  test(`a refused connection is an error event: ${text}`, async () => {
    const client = connectSocket(near, { addr, port: 9 });
    const [err] = await once(client, "error");
    assert.match(String(err), /ECONNREFUSED/);
  });

  test(`UDP between two namespaces: ${text}`, async () => {
    const type = addr.family === 4 ? "udp4" : "udp6";
    const server = createSocket(type);
    server.bind({ fd: udpFd(far, addr, 5353) });
    server.on("message", (message, from) => server.send(`${message.toString()} back`, from.port, from.address));
    const client = createSocket(type);
    client.bind({ fd: udpFd(near, parseAddr(addr.family === 4 ? "0.0.0.0" : "::"), 0) });
    client.send("there and", 5353, text);
    const [message] = await once(client, "message");
    assert.equal(String(message), "there and back");
    client.close();
    server.close();
  });
}

test("a port that is taken is refused with its name, and leaves no open socket", () => {
  const openFiles = (): number => readdirSync("/proc/self/fd").length;
  const taken = listenFd(far, parseAddr("10.9.0.2"), 5354);
  const before = openFiles();
  assert.throws(() => listenFd(far, parseAddr("10.9.0.2"), 5354), /10\.9\.0\.2:5354.*EADDRINUSE/);
  assert.throws(() => listenFd(far, parseAddr("192.0.2.1"), 5354), /EADDRNOTAVAIL/);
  assert.equal(openFiles(), before);
  closeSync(taken);
  const first = udpFd(far, parseAddr("10.9.0.2"), 5354);
  assert.throws(() => udpFd(far, parseAddr("10.9.0.2"), 5354), /Cannot bind 10\.9\.0\.2:5354 .*EADDRINUSE/);
  const socket = createSocket("udp4");
  socket.bind({ fd: first });
  socket.close();
});
