// Cases of docs/policy-behaviour.md that only packets can show.
import assert from "node:assert/strict";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { FAMILIES, formatAddr, parseAddr } from "#ip";
import { udpFd } from "#linux";
import type { Place } from "../portmap/testing/world.ts";
import { Neighbourhood } from "./testing/neighbourhood.ts";
import type { Policies } from "./types.ts";

const PORT = 8080;
const REFUSED_MS = 250;
const ANSWERED_MS = 10_000;
/** More than twice what a link takes. */
const LARGE = "x".repeat(4000);

/** A UDP socket that stays, so that conntrack knows it. */
function talker({ ns }: Place, family: 4 | 6): Socket {
  const socket = createSocket(family === 4 ? "udp4" : "udp6");
  socket.bind({ fd: udpFd(ns, parseAddr(family === 4 ? "0.0.0.0" : "::"), 0) });
  return socket;
}

async function isAnswered(socket: Socket, to: string, message: string, expected: boolean): Promise<boolean> {
  socket.send(message, PORT, to);
  return await once(socket, "message", { signal: AbortSignal.timeout(expected ? ANSWERED_MS : REFUSED_MS) }).then(
    () => true,
    () => false,
  );
}

describe("edge cases", () => {
  let hood: Neighbourhood;
  let policies: Policies;
  let server: ReturnType<Neighbourhood["pod"]>;
  let friend: ReturnType<Neighbourhood["pod"]>;

  before(async () => {
    hood = new Neighbourhood();
    [server, friend] = [hood.pod("x/server"), hood.pod("x/friend")];
    policies = hood.start();
    for (const { local } of [server, friend]) await policies.add(local);
    await policies.ready;
  });

  after(() => {
    policies.stop();
    hood.world.close();
  });

  for (const [index, family] of FAMILIES.entries()) {
    const to = (): string => formatAddr(server.addrs[index] ?? assert.fail());
    const onServer = { podSelector: { matchLabels: { pod: "server" } } };

    test(`fragments belong to their port, whether it is open or not, IPv${family}`, async () => {
      const socket = talker(friend, family);
      await hood.apply(policies, "x/p", { ...onServer, ingress: [{ ports: [{ protocol: "UDP", port: PORT }] }] });
      assert.equal(await isAnswered(socket, to(), LARGE, true), true);
      await hood.remove(policies, "x/p");
      await hood.apply(policies, "x/p", { ...onServer, ingress: [{ ports: [{ protocol: "UDP", port: PORT + 1 }] }] });
      assert.equal(await isAnswered(socket, to(), LARGE, false), false);
      await hood.remove(policies, "x/p");
      socket.close();
    });

    test(`a UDP flow that never rests is cut all the same, and goes on afterwards, IPv${family}`, async () => {
      const socket = talker(friend, family);
      assert.equal(await isAnswered(socket, to(), "?", true), true);
      assert.equal(await isAnswered(socket, to(), "?", true), true);
      await hood.apply(policies, "x/p", onServer);
      assert.equal(await isAnswered(socket, to(), "?", false), false);
      await hood.remove(policies, "x/p");
      assert.equal(await isAnswered(socket, to(), "?", true), true);
      socket.close();
    });
  }
});
