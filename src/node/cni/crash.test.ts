import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { type TestContext, test } from "node:test";
import { silentLogger } from "#base";
import { formatAddr, parsePrefix } from "#ip";
import { openIpam } from "#ipam";
import type { NetNs, RouteSocket } from "#linux";
import { FakeKernel } from "#linux/fake";
import { isHostLinkName } from "./compile.ts";
import { createPodNetwork, type PodNetwork } from "./index.ts";

class Killed extends Error {}

/** Lets `calls` calls through and none after: what a process did that was killed in between. */
class Life {
  calls: number;

  constructor(calls: number) {
    this.calls = calls;
  }

  /** Objects of functions, and objects of those, whose functions count. */
  of<T extends object>(target: T): T {
    return new Proxy(target, {
      get: (object, key) => {
        const value: unknown = Reflect.get(object, key);
        if (typeof value === "function") {
          return (...args: unknown[]): unknown => {
            if (this.calls-- <= 0) throw new Killed();
            return Reflect.apply(value, object, args);
          };
        }
        return typeof value === "object" && value !== null && !(value instanceof Uint8Array) ? this.of(value) : value;
      },
    });
  }
}

interface Machine {
  readonly kernel: FakeKernel;
  readonly node: NetNs;
  readonly route: RouteSocket;
  readonly dir: string;
}

function machine(t: TestContext): Machine {
  const kernel = new FakeKernel();
  const node = kernel.netns.create("/run/netns/node");
  const dir = mkdtempSync(`${tmpdir()}/fairlead-cni-`);
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return { kernel, node, route: kernel.openRoute(node), dir };
}

function start({ dir, kernel, node, route }: Machine, life: Life): PodNetwork {
  const podCidrs = ["10.244.1.0/24", "fd00:10:244:1::/64"].map((text) => parsePrefix(text));
  const ipam = life.of(openIpam({ dir, podCidrs, logger: silentLogger }));
  const openRoute = (ns: NetNs): RouteSocket => life.of(kernel.openRoute(ns));
  return createPodNetwork({ node: { ns: node, route: life.of(route) }, openRoute, ipam, mtu: () => 1450, logger: silentLogger });
}

const forEver = (): Life => new Life(Number.POSITIVE_INFINITY);

function hostLinks({ route }: Machine): string[] {
  return route.links
    .list()
    .map(({ name }) => name)
    .filter(isHostLinkName);
}

/** Does `act` with one call more each time, until it is allowed to end; tells `after` each time. */
function killedEverywhere(
  t: TestContext,
  act: (network: PodNetwork, pod: NetNs) => void,
  after: (world: Machine, pod: NetNs) => void,
): number {
  for (let calls = 0; ; calls++) {
    const world = machine(t);
    const pod = world.kernel.netns.create("/run/netns/pod");
    let ended = true;
    try {
      act(start(world, new Life(calls)), pod);
    } catch {
      ended = false;
    }
    after(world, pod);
    if (ended) return calls;
  }
}

const attachment = (netns: NetNs): { containerId: string; ifName: string; netns: NetNs } => ({ containerId: "a", ifName: "eth0", netns });

test("killed at any moment of an add: the next process completes it, and nothing is there twice", (t) => {
  const moments = killedEverywhere(
    t,
    (network, pod) => network.add(attachment(pod)),
    (world, pod) => {
      const next = start(world, forEver());
      const { ips } = next.add(attachment(pod));
      assert.equal(ips.length, 2);
      next.check(attachment(pod));
      assert.equal(hostLinks(world).length, 1);
      const other = world.kernel.netns.create("/run/netns/other");
      next.add({ ...attachment(other), containerId: "b" });
      assert.equal(new Set(["a", "b"].flatMap((containerId) => next.addrs({ containerId, ifName: "eth0" }).map(formatAddr))).size, 4);
    },
  );
  t.diagnostic(`${moments} moments`);
  assert.ok(moments > 40);
});

test("killed at any moment of an add: what the runtime does not claim is collected", (t) => {
  killedEverywhere(
    t,
    (network, pod) => network.add(attachment(pod)),
    (world) => {
      const next = start(world, forEver());
      next.gc([]);
      assert.deepEqual(hostLinks(world), []);
      assert.deepEqual(next.addrs({ containerId: "a", ifName: "eth0" }), []);
      assert.deepEqual(
        world.route.neighs.list("cni0").filter((neigh) => neigh.state === "permanent"),
        [],
      );
    },
  );
});

test("killed at any moment of a del: the next del ends it", (t) => {
  killedEverywhere(
    t,
    (network, pod) => {
      network.add(attachment(pod));
      network.del(attachment(pod));
    },
    (world, pod) => {
      const next = start(world, forEver());
      next.del(attachment(pod));
      assert.deepEqual(hostLinks(world), []);
      assert.deepEqual(next.addrs({ containerId: "a", ifName: "eth0" }), []);
    },
  );
});
