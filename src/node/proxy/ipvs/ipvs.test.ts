import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { ServiceSpec } from "kubernetes-types/core/v1";
import { parseAddr, parsePrefix } from "#ip";
import type { IpvsDestinationKey, IpvsServiceKey } from "#linux";
import { compileService } from "../compile.ts";
import type { FrontendUpdate } from "../dataplane.ts";
import { NODE, type PortSpec, service, slice } from "../testing.ts";
import type { Frontend } from "../types.ts";
import { reusesPortsWell } from "./dataplane.ts";
import { LINK, TABLE } from "./names.ts";
import { Machine } from "./testing.ts";

const HTTP: readonly PortSpec[] = [{ name: "http", port: 80, targetPort: 8080 }];
const NODE_PORT: readonly PortSpec[] = [{ name: "http", port: 80, targetPort: 8080, nodePort: 30_080 }];

interface Given {
  readonly name?: string;
  readonly vip?: string;
  readonly ports?: readonly PortSpec[];
  readonly spec?: Partial<ServiceSpec>;
}

function frontends(endpoints: readonly string[], { name = "web", vip = "10.96.0.1", ports = HTTP, spec = {} }: Given = {}): Frontend[] {
  const of = service(name, [vip], ports, spec);
  return [...compileService({ service: of, slices: [slice(name, endpoints, ports)], node: NODE }).frontends];
}

/** The updates from one list of frontends to another. */
function updates(old: readonly Frontend[], next: readonly Frontend[]): FrontendUpdate[] {
  const keys = new Set([...old, ...next].map(({ key }) => key));
  const find = (list: readonly Frontend[], key: string): Frontend | undefined => list.find((each) => each.key === key);
  return [...keys].map((key) => ({ key, old: find(old, key), next: find(next, key) }));
}

describe("what a frontend becomes", () => {
  const held = async (list: readonly Frontend[]): Promise<Machine> => {
    const machine = new Machine();
    await machine.open().replace(list);
    return machine;
  };
  const A = "10.244.1.2@node-1";
  const B = "10.244.2.2@node-2";

  test("ClusterIP: a server, a local address, an entry", async () => {
    const machine = await held(frontends([A, B]));
    assert.deepEqual(machine.servers(), ["tcp 10.96.0.1:80 rr -> 10.244.1.2:8080 1, 10.244.2.2:8080 1"]);
    assert.deepEqual(machine.bound(), ["10.96.0.1/32"]);
    assert.deepEqual(machine.elements(), {
      frontends4: ['10.96.0.1 . tcp . 80 comment "default/web:http"'],
      vips4: ["10.96.0.1"],
      "cluster-ips4": ["10.96.0.1"],
      hairpin4: ["10.244.1.2 . 10.244.1.2"],
    });
    assert.equal(machine.route.links.get(LINK)?.up, true);
    assert.equal(machine.netns.sysctl("net.ipv4.vs.conntrack"), "1");
  });

  test("NodePort: the node's address is its own", async () => {
    const machine = await held(frontends([A], { ports: NODE_PORT }));
    assert.deepEqual(machine.servers(), ["tcp 10.96.0.1:80 rr -> 10.244.1.2:8080 1", "tcp 172.18.0.11:30080 rr -> 10.244.1.2:8080 1"]);
    assert.deepEqual(machine.bound(), ["10.96.0.1/32"]);
    assert.deepEqual(machine.elements()["external4"], ['172.18.0.11 . tcp . 30080 comment "default/web:http"']);
  });

  test("an external address that the node has itself: no route, and nothing of its other ports is refused", async () => {
    const machine = new Machine();
    machine.route.links.add({ name: "eth0", type: { kind: "dummy" }, up: true });
    machine.route.addrs.set({ link: "eth0", prefix: parsePrefix("192.0.2.1/24") });
    const dataplane = machine.open();
    const some = frontends([A], { spec: { externalIPs: ["192.0.2.1", "192.0.2.2"] } });
    await dataplane.replace([]);
    await dataplane.update(updates([], some));
    assert.deepEqual(machine.bound(), ["10.96.0.1/32", "192.0.2.2/32"]);
    assert.deepEqual(machine.elements()["vips4"], ["10.96.0.1", "192.0.2.2"]);
    await machine.open().replace(some);
    assert.deepEqual(machine.bound(), ["10.96.0.1/32", "192.0.2.2/32"]);
    assert.deepEqual(machine.route.routes.lookup(parseAddr("192.0.2.1"))?.nextHops, [{ link: "eth0" }]);
  });

  test("externalTrafficPolicy Local: a list at the address, and one at a mark for the inside", async () => {
    const spec = { externalTrafficPolicy: "Local", sessionAffinity: "ClientIP" };
    const machine = await held(frontends([A, B], { ports: NODE_PORT, spec }));
    assert.deepEqual(machine.servers(), [
      "fwmark 4195352577 (IPv4) mh -> 10.244.1.2:8080 1, 10.244.2.2:8080 1",
      "tcp 10.96.0.1:80 rr 10800s -> 10.244.1.2:8080 1, 10.244.2.2:8080 1",
      "tcp 172.18.0.11:30080 rr 10800s -> 10.244.1.2:8080 1",
    ]);
    const { marks4, "keeps-source4": keepsSource, external4 } = machine.elements();
    assert.deepEqual(marks4, ['172.18.0.11 . tcp . 30080 comment "default/web:http" : 0xfa100001']);
    assert.deepEqual([keepsSource?.length, external4], [1, undefined]);
  });

  test("endpoints elsewhere, with policy Local: silence for the outside alone", async () => {
    const machine = await held(frontends([B], { ports: NODE_PORT, spec: { externalTrafficPolicy: "Local" } }));
    assert.deepEqual(machine.elements()["outside4"], ['172.18.0.11 . tcp . 30080 comment "default/web:http" : drop']);
    assert.equal(machine.elements()["no-endpoints4"], undefined);
  });

  test("nobody: refused, or silence where policy Local is the reason", async () => {
    const machine = await held([
      ...frontends([]),
      ...frontends([B], { name: "local", vip: "10.96.0.2", spec: { internalTrafficPolicy: "Local" } }),
    ]);
    assert.deepEqual(machine.elements()["no-endpoints4"], [
      '10.96.0.1 . tcp . 80 comment "default/web:http" : goto refuse',
      '10.96.0.2 . tcp . 80 comment "default/local:http" : drop',
    ]);
    assert.deepEqual(machine.servers(), ["tcp 10.96.0.1:80 rr -> ", "tcp 10.96.0.2:80 rr -> "]);
  });
});

describe("what goes, goes when its connections have ended", () => {
  const A = "10.244.1.2@node-1";
  const B = "10.244.1.3@node-1";
  const key: IpvsServiceKey = { addr: parseAddr("10.96.0.1"), protocol: 6, port: 80 };
  const a: IpvsDestinationKey = { addr: parseAddr("10.244.1.2"), port: 8080 };

  test("TCP: weight 0 while there are some, 1 again when it comes back; a new proxy takes over", async () => {
    const machine = new Machine();
    const dataplane = machine.open();
    const both = frontends([A, B]);
    await dataplane.replace(both);
    machine.ipvs.setConnections(key, a, 1);
    const one = frontends([B]);
    await dataplane.update(updates(both, one));
    assert.deepEqual(machine.servers(), ["tcp 10.96.0.1:80 rr -> 10.244.1.2:8080 0, 10.244.1.3:8080 1"]);
    await dataplane.update(updates(one, both));
    assert.deepEqual(machine.servers(), ["tcp 10.96.0.1:80 rr -> 10.244.1.2:8080 1, 10.244.1.3:8080 1"]);
    await dataplane.update(updates(both, one));
    dataplane.close();
    const next = machine.open();
    await next.replace(one);
    assert.deepEqual(machine.servers(), ["tcp 10.96.0.1:80 rr -> 10.244.1.2:8080 0, 10.244.1.3:8080 1"]);
    machine.ipvs.setConnections(key, a, 0, 0);
    await next.update([]);
    assert.deepEqual(machine.servers(), ["tcp 10.96.0.1:80 rr -> 10.244.1.3:8080 1"]);
    next.close();
  });

  test("a Service that is deleted: its connections go on, new ones have nobody, and nothing is left at last", async () => {
    const machine = new Machine();
    const dataplane = machine.open();
    const some = frontends([A, B]);
    await dataplane.replace(some);
    machine.ipvs.setConnections(key, a, 0, 1);
    await dataplane.update(updates(some, []));
    assert.deepEqual(machine.servers(), ["tcp 10.96.0.1:80 rr -> 10.244.1.2:8080 0"]);
    assert.deepEqual(machine.bound(), ["10.96.0.1/32"]);
    assert.deepEqual(machine.elements(), { leaving4: ['10.96.0.1 . tcp . 80 comment "default/web:http"'], vips4: ["10.96.0.1"] });
    dataplane.close();
    const next = machine.open();
    await next.replace([]);
    assert.deepEqual(machine.servers(), ["tcp 10.96.0.1:80 rr -> 10.244.1.2:8080 0"]);
    machine.ipvs.setConnections(key, a, 0, 0);
    await next.update([]);
    assert.deepEqual(machine.holds(), { servers: [], bound: [], elements: {} });
    next.close();
  });

  test("UDP: at once, but for those that still serve", async () => {
    const machine = new Machine();
    const dataplane = machine.open();
    const ports: readonly PortSpec[] = [{ port: 53, protocol: "UDP" }];
    const dns: IpvsServiceKey = { ...key, protocol: 17, port: 53 };
    const both = frontends([A, B], { ports });
    await dataplane.replace(both);
    machine.ipvs.setConnections(dns, { ...a, port: 53 }, 0, 5);
    const leaving = frontends([`${A}!terminating`, B], { ports });
    await dataplane.update(updates(both, leaving));
    assert.deepEqual(machine.servers(), ["udp 10.96.0.1:53 rr -> 10.244.1.2:53 0, 10.244.1.3:53 1"]);
    const dead = frontends([`${A}!dead`, B], { ports });
    await dataplane.update(updates(leaving, dead));
    assert.deepEqual(machine.servers(), ["udp 10.96.0.1:53 rr -> 10.244.1.3:53 1"]);
    dataplane.close();
  });
});

test("services of others in IPVS are left alone; remove takes all that is ours and says what", async () => {
  const machine = new Machine();
  const foreign = { addr: parseAddr("198.51.100.1"), protocol: 6, port: 80, scheduler: "wrr" };
  machine.ipvs.apply([
    { op: "add service", service: foreign },
    { op: "add service", service: { family: 4, fwmark: 7, scheduler: "rr" } },
  ]);
  const dataplane = machine.open();
  const spec = { externalTrafficPolicy: "Local" };
  await dataplane.replace(frontends(["10.244.1.2@node-1"], { ports: NODE_PORT, spec }));
  assert.equal(machine.servers().length, 5);
  await dataplane.replace([]);
  assert.deepEqual(machine.servers(), ["fwmark 7 (IPv4) rr -> ", "tcp 198.51.100.1:80 wrr -> "]);
  await dataplane.replace(frontends(["10.244.1.2@node-1"], { ports: NODE_PORT, spec }));
  const removed = ["link fairlead-ipvs", "3 IPVS services", "nftables table inet fairlead-ipvs"];
  assert.deepEqual(await machine.open().remove(), removed);
  assert.deepEqual(machine.servers(), ["fwmark 7 (IPv4) rr -> ", "tcp 198.51.100.1:80 wrr -> "]);
  assert.deepEqual([machine.bound(), machine.nft.tables(), machine.route.links.get(LINK)], [[], [], undefined]);
  assert.deepEqual(await machine.open().remove(), []);
});

test("one destination that IPVS refuses does not keep the rest from being done", async () => {
  const machine = new Machine();
  machine.ipvs.failNext("EINVAL");
  await assert.rejects(machine.open().replace(frontends(["10.244.1.2@node-1"])), /Cannot add virtual service/);
  assert.deepEqual(machine.bound(), ["10.96.0.1/32"]);
  await machine.open().replace(frontends(["10.244.1.2@node-1"]));
  assert.deepEqual(machine.servers(), ["tcp 10.96.0.1:80 rr -> 10.244.1.2:8080 1"]);
});

test("ports that are used again, by kernel", () => {
  assert.deepEqual(["4.19.0", "5.8.18-1", "5.9.0", "6.1.0-56-cloud-amd64"].map(reusesPortsWell), [false, false, true, true]);
});

test("property: any history of updates ends where a fresh start would, and a comparison finds nothing to do", async () => {
  const pool = ["10.244.1.2@node-1", "10.244.1.3@b", "10.244.1.4@b!terminating", "10.244.1.5@node-1!dead"];
  const made = fc.record({
    name: fc.constantFrom("a", "b", "c"),
    endpoints: fc.subarray(pool),
    local: fc.boolean(),
    sticky: fc.boolean(),
    udp: fc.boolean(),
    external: fc.boolean(),
    exists: fc.boolean(),
  });
  type Made = typeof made extends fc.Arbitrary<infer T> ? T : never;
  const compile = ({ name, endpoints, local, sticky, udp, external }: Made): Frontend[] => {
    const n = name.charCodeAt(0) - 96;
    const ports: readonly PortSpec[] = [{ port: 80, nodePort: 30_000 + n, ...(udp && { protocol: "UDP" }) }];
    const spec = {
      ...(local && { externalTrafficPolicy: "Local" }),
      ...(sticky && { sessionAffinity: "ClientIP" }),
      ...(external && { externalIPs: [`192.0.2.${n}`] }),
    };
    return frontends(endpoints, { name, vip: `10.96.0.${n}`, ports, spec });
  };
  // Marks are given in the order of arrival.
  const text = (machine: Machine): string => JSON.stringify(machine.holds(), undefined, 1).replace(/fwmark \d+|0xfa1\w+/g, "MARK");
  await fc.assert(
    fc.asyncProperty(fc.array(made, { maxLength: 8 }), async (history) => {
      const machine = new Machine();
      const dataplane = machine.open();
      await dataplane.replace([]);
      const state = new Map<string, Frontend[]>();
      for (const step of history) {
        const next = step.exists ? compile(step) : [];
        await dataplane.update(updates(state.get(step.name) ?? [], next));
        state.set(step.name, next);
      }
      const fresh = new Machine();
      await fresh.open().replace([...state.values()].flat());
      const sorted = (of: Machine): string => text(of).split("\n").sort().join("\n");
      assert.equal(sorted(machine), sorted(fresh));
      const { changes } = await machine.open().replace([...state.values()].flat());
      assert.equal(changes, 0);
    }),
    { numRuns: 150 },
  );
});

test("it is intact while services, link and table are there", async () => {
  const machine = new Machine();
  const dataplane = machine.open();
  await dataplane.replace([]);
  assert.ok(await dataplane.isIntact());
  const ports: readonly PortSpec[] = [{ port: 80, targetPort: 8080 }];
  const { frontends } = compileService({
    service: service("a", ["10.96.0.1"], ports),
    slices: [slice("a", ["10.244.1.2@node-1"], ports)],
    node: NODE,
  });
  for (const spoil of [
    () => machine.ipvs.flush(),
    () => machine.route.links.del(LINK),
    () => machine.nft.apply([{ op: "delete table", table: TABLE }]),
  ]) {
    await dataplane.replace(frontends);
    assert.ok(await dataplane.isIntact());
    spoil();
    assert.equal(await dataplane.isIntact(), false);
  }
});
