// SCTP between two namespaces, through Node's own servers and clients.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { after, test } from "node:test";
import { type Addr, parseAddr, parsePrefix } from "#ip";
import { connectSocket, listenFd, netns, openRoute } from "./index.ts";

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

const sctp = { protocol: "sctp" } as const;

async function listenSctp(
  addr: Addr,
  answer: (question: string, remote: string) => string,
): Promise<{ port: number; close(): Promise<void> }> {
  const server = createServer((socket) => {
    socket.on("data", (chunk) => {
      socket.write(answer(String(chunk), socket.remoteAddress ?? ""));
      socket.destroySoon();
    });
  });
  server.listen({ fd: listenFd(far, addr, 0, sctp) });
  await once(server, "listening");
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null);
  return {
    port: address.port,
    async close() {
      server.close();
      await once(server, "close");
    },
  };
}

for (const text of ["10.9.0.2", "fd09::2"]) {
  const addr = parseAddr(text);

  test(`an SCTP server and a client in two namespaces: ${text}`, async () => {
    const server = await listenSctp(addr, (question, remote) => `${question}, ${remote}`);
    // The same port of TCP is another one: nothing listens there.
    const [refusal] = await once(connectSocket(near, { addr, port: server.port }), "error");
    assert.match(String(refusal), /ECONNREFUSED/);

    const client = connectSocket(near, { addr, port: server.port }, sctp);
    client.write("hello");
    let answer = "";
    client.on("data", (chunk) => {
      answer += String(chunk);
    });
    await once(client, "close");
    assert.match(answer, /^hello, (10\.9\.0\.1|fd09::1)$/);
    await server.close();
  });

  test(`a refused association is an error event: ${text}`, async () => {
    const [err] = await once(connectSocket(near, { addr, port: 9 }, sctp), "error");
    assert.match(String(err), /ECONNREFUSED/);
  });
}
