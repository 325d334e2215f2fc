import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { after, test } from "node:test";
import { type Addr, parseAddr, parsePrefix } from "#ip";
import { connectSocket, listenFd, netns, openRoute, udpFd } from "./index.ts";

const near = netns.createAnonymous();
const far = netns.createAnonymous();
const nearRoute = openRoute(near);
const farRoute = openRoute(far);
nearRoute.links.add({ name: "eth0", type: { kind: "veth", peer: { name: "eth0", netns: far } }, up: true });
farRoute.links.change("eth0", { up: true });
for (const [route, n] of [
  [nearRoute, 1],
  [farRoute, 2],
] as const) {
  for (const prefix of [`10.9.0.${n}/24`, `fd09::${n}/64`]) route.addrs.set({ link: "eth0", prefix: parsePrefix(prefix) });
}
after(() => {
  for (const open of [nearRoute, farRoute, near, far]) open.close();
});

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

test("a port that is taken is refused with its name", () => {
  const first = udpFd(far, parseAddr("10.9.0.2"), 5354);
  assert.throws(() => udpFd(far, parseAddr("10.9.0.2"), 5354), /Cannot bind 10\.9\.0\.2:5354 .*EADDRINUSE/);
  const socket = createSocket("udp4");
  socket.bind({ fd: first });
  socket.close();
});
