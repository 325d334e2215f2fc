// SCTP between two namespaces, through Node's own servers and clients.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { after, test } from "node:test";
import { type Addr, parseAddr } from "#ip";
import { connectSocket, listenFd } from "./index.ts";
import { twoNamespaces } from "./testing/two-namespaces.ts";

const both = twoNamespaces();
const { near, far } = both;
after(() => both.close());

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
