// What needs another kernel than most machines of builds have: IPVS, SCTP.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Server } from "node:net";
import { after, before, describe, test } from "node:test";
import { formatAddr } from "#ip";
import { connectSocket, listenFd } from "#linux";
import { Neighbourhood, reaches } from "./testing/neighbourhood.ts";
import { serviceCases } from "./testing/service-cases.ts";
import type { Policies } from "./types.ts";

serviceCases("ipvs");

const PORT = 9000;
const sctp = { protocol: "sctp" } as const;

type Pod = ReturnType<Neighbourhood["pod"]>;

describe("SCTP", () => {
  let hood: Neighbourhood;
  let policies: Policies;
  let server: Pod;
  let friend: Pod;
  let stranger: Pod;
  const listeners: Server[] = [];

  before(async () => {
    hood = new Neighbourhood();
    [server, friend, stranger] = [hood.pod("x/server"), hood.pod("x/friend"), hood.pod("y/stranger")];
    for (const addr of server.addrs) {
      const listener = createServer((socket) => {
        socket.on("error", () => {});
        socket.unref().end("hello");
      });
      listener.listen({ fd: listenFd(server.ns, addr, PORT, sctp) });
      listeners.push(listener);
    }
    policies = hood.start();
    for (const { local } of [server, friend, stranger]) await policies.add(local);
  });

  after(() => {
    for (const listener of listeners) listener.close();
    policies.stop();
    hood.world.close();
  });

  for (const index of [0, 1] as const) {
    const asks = async ({ ns }: Pod, expected: boolean): Promise<boolean> => {
      const socket = connectSocket(ns, { addr: server.addrs[index] ?? assert.fail(), port: PORT }, sctp);
      try {
        await once(socket, "connect", { signal: AbortSignal.timeout(expected ? 20_000 : 1000) });
        return true;
      } catch {
        return false;
      } finally {
        socket.destroy();
      }
    };

    test(`a port of SCTP is open to whom the policy says, and TCP and UDP are not, IPv${index === 0 ? 4 : 6}`, async () => {
      assert.equal(await asks(stranger, true), true);
      const from = [{ podSelector: { matchLabels: { pod: "friend" } } }];
      await hood.apply(policies, "x/p", {
        podSelector: { matchLabels: { pod: "server" } },
        ingress: [{ from, ports: [{ protocol: "SCTP", port: PORT }] }],
      });
      assert.equal(await asks(friend, true), true);
      assert.equal(await asks(stranger, false), false);
      const to = formatAddr(server.addrs[index] ?? assert.fail());
      assert.deepEqual(await reaches(friend, to, 8080, false), { tcp: false, udp: false });
      await hood.remove(policies, "x/p");
    });
  }
});
