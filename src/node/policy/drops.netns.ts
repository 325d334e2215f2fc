// Refused packets with names, from the kernel's log to whoever watches.
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { after, before, describe, test } from "node:test";
import { formatAddr, parseAddr } from "#ip";
import { connectSocket, udpFd } from "#linux";
import type { TestPod } from "../portmap/testing/world.ts";
import type { Drop, DropsLeftOut } from "./drop-types.ts";
import { Neighbourhood, reaches } from "./testing/neighbourhood.ts";
import type { LocalPod, Policies } from "./types.ts";

type Pod = TestPod & { readonly local: LocalPod };

const PORT = 8080;

let hood: Neighbourhood;
let policies: Policies;
let server: Pod;
let client: Pod;

before(async () => {
  hood = new Neighbourhood();
  [server, client] = [hood.pod("x/server"), hood.pod("y/client")];
  policies = hood.start();
  for (const { local } of [server, client]) await policies.add(local);
  await policies.ready;
});

after(() => {
  policies.stop();
  hood.world.close();
});

/** What is told until `isEnough`; the watch begins at once. */
function collect(isEnough: (all: readonly (Drop | DropsLeftOut)[]) => boolean): Promise<readonly (Drop | DropsLeftOut)[]> {
  const end = new AbortController();
  const all: (Drop | DropsLeftOut)[] = [];
  const watch = policies.drops(end.signal);
  // The log's socket keeps no process alive.
  const alive = setInterval(() => {}, 1000);
  return (async () => {
    for await (const told of watch) {
      all.push(told);
      if (isEnough(all)) end.abort();
    }
    clearInterval(alive);
    return all;
  })();
}

const isDrop = (told: Drop | DropsLeftOut): told is Drop => !("leftOut" in told);

describe("what is refused is told of", () => {
  for (const [i, family] of ([4, 6] as const).entries()) {
    const to = (): string => formatAddr(server.addrs[i] ?? assert.fail());
    const from = (): string => formatAddr(client.addrs[i] ?? assert.fail());

    test(`a SYN to an isolated pod once, with both pods and the policies; nothing of what passes, IPv${family}`, async () => {
      await hood.apply(policies, "x/closed", { ingress: [] });
      const told = collect((all) => all.length === 1);
      assert.deepEqual(await reaches(server, from(), PORT, true), { tcp: true, udp: true });
      const socket = connectSocket(client.ns, { addr: parseAddr(to()), port: PORT });
      socket.on("error", () => {});
      const [drop, ...others] = await told;
      socket.destroy();
      await hood.remove(policies, "x/closed");
      assert.ok(drop !== undefined && isDrop(drop) && others.length === 0);
      const { time, from: asking, ...rest } = drop;
      assert.ok(Math.abs(Date.now() - Date.parse(time)) < 60_000);
      assert.deepEqual([asking.addr, asking.pod, typeof asking.port], [from(), "y/client", "number"]);
      assert.deepEqual(rest, {
        node: "node-1",
        direction: "ingress",
        to: { addr: to(), port: PORT, pod: "x/server" },
        protocol: "TCP",
        family,
        policies: ["x/closed"],
      });
    });
  }

  test("a flood is told of a little, and how much more there was", async () => {
    await hood.apply(policies, "y/nowhere", { policyTypes: ["Egress"] });
    const packets = 20_000;
    const left = (all: readonly (Drop | DropsLeftOut)[]): number => all.reduce((sum, told) => sum + (isDrop(told) ? 0 : told.leftOut), 0);
    const told = collect((all) => left(all) + all.filter(isDrop).length >= packets);
    const socket = createSocket("udp4");
    socket.bind({ fd: udpFd(client.ns, parseAddr("0.0.0.0"), 0) });
    const address = formatAddr(server.addrs[0] ?? assert.fail());
    for (let sent = 0; sent < packets; ) {
      const burst = Array.from({ length: 100 }, () => new Promise((resolve) => socket.send("?", PORT, address, resolve)));
      sent += burst.length;
      await Promise.all(burst);
    }
    const all = await told;
    socket.close();
    await hood.remove(policies, "y/nowhere");
    const drops = all.filter(isDrop);
    assert.ok(drops.length < packets / 20, `${drops.length} messages`);
    assert.deepEqual(
      [...new Set(drops.map(({ direction, protocol, policies: names }) => `${direction} ${protocol} ${names.join()}`))],
      ["egress UDP y/nowhere"],
    );
    assert.equal(left(all) + drops.length, packets);
  });

  test("two may watch, and when nobody does nobody listens", async () => {
    await hood.apply(policies, "x/closed", { ingress: [] });
    const both = [collect((all) => all.length >= 1), collect((all) => all.length >= 1)];
    await reaches(client, formatAddr(server.addrs[0] ?? assert.fail()), PORT, false);
    for (const all of await Promise.all(both)) assert.ok(all.every(isDrop));
    // The group is free for the next one.
    const third = collect((all) => all.length >= 1);
    await reaches(client, formatAddr(server.addrs[0] ?? assert.fail()), PORT, false);
    assert.ok((await third).length >= 1);
    await hood.remove(policies, "x/closed");
  });
});
