import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import fc from "fast-check";
import { parsePrefix } from "#ip";
import { type Answer, makeKeys, startTestServer, type TestServer } from "../testing.ts";
import { AddressRanges } from "./address-ranges.ts";
import { IpAllocator } from "./ip-allocator.ts";
import { PortAllocator } from "./port-allocator.ts";

let server: TestServer;
before(async () => {
  server = await startTestServer(await makeKeys());
});
after(() => server.close());

const PATH = "/api/v1/namespaces/default/services";

function create(name: string, spec: object): Promise<Answer> {
  return server.call("POST", PATH, { body: { metadata: { name }, spec: { ports: [{ port: 80 }], ...spec } } });
}

function patch(name: string, spec: object): Promise<Answer> {
  const headers = { "content-type": "application/merge-patch+json" };
  return server.call("PATCH", `${PATH}/${name}`, { raw: JSON.stringify({ spec }), headers });
}

function addresses(answer: Answer): unknown {
  assert.ok(answer.status < 300, answer.text);
  return [
    answer.at("spec.ipFamilyPolicy"),
    answer.at("spec.ipFamilies"),
    (answer.at("spec.clusterIPs") as string[]).map((ip) => (ip.includes(":") ? 6 : ip === "None" ? "None" : 4)),
  ];
}

test("every policy gets its families and addresses", async () => {
  const cases: [spec: object, expected: unknown][] = [
    [{}, ["SingleStack", ["IPv4"], [4]]],
    [{ ipFamilies: ["IPv6"] }, ["SingleStack", ["IPv6"], [6]]],
    [{ ipFamilyPolicy: "PreferDualStack" }, ["PreferDualStack", ["IPv4", "IPv6"], [4, 6]]],
    [{ ipFamilyPolicy: "RequireDualStack", ipFamilies: ["IPv6"] }, ["RequireDualStack", ["IPv6", "IPv4"], [6, 4]]],
    [{ ipFamilies: ["IPv6", "IPv4"] }, ["RequireDualStack", ["IPv6", "IPv4"], [6, 4]]],
    [{ clusterIP: "fd00:10:96::77" }, ["SingleStack", ["IPv6"], [6]]],
    [{ clusterIP: "None", selector: { a: "b" } }, ["SingleStack", ["IPv4"], ["None"]]],
    [{ clusterIP: "None" }, ["RequireDualStack", ["IPv4", "IPv6"], ["None"]]],
  ];
  for (const [i, [spec, expected]] of cases.entries())
    assert.deepEqual(addresses(await create(`f${i}`, spec)), expected, JSON.stringify(spec));
});

test("a wanted address is had once, in range, and given back", async () => {
  const first = await create("ten", { clusterIP: "10.96.0.10" });
  assert.equal(first.at("spec.clusterIPs.0"), "10.96.0.10");
  const second = await create("ten-too", { clusterIP: "10.96.0.10" });
  assert.equal(second.status, 422);
  assert.match(
    String(second.at("message")),
    /^Service "ten-too" is invalid: spec\.clusterIPs: Invalid value: \["10\.96\.0\.10"\]: failed to allocate IP 10\.96\.0\.10: provided IP is already allocated$/,
  );
  const outside = await create("out", { clusterIP: "192.0.2.1" });
  assert.match(
    String(outside.at("message")),
    /the provided IP \(192\.0\.2\.1\) is not in the valid range\. The range of valid IPs is 10\.96\.0\.0\/16/,
  );
  await server.call("DELETE", `${PATH}/ten`);
  assert.equal((await create("ten-again", { clusterIP: "10.96.0.10" })).status, 201);
});

test("an address of a refused Service is free again", async () => {
  const refused = await create("bad", { clusterIP: "10.96.0.20", ports: [{ port: 70_000 }] });
  assert.equal(refused.status, 422);
  assert.equal((await create("good", { clusterIP: "10.96.0.20" })).status, 201);
});

test("node ports: chosen, wanted, shared by protocols, refused", async () => {
  const chosen = await create("np", { type: "NodePort" });
  const port = Number(chosen.at("spec.ports.0.nodePort"));
  assert.ok(port >= 30_000 && port <= 32_767);
  const taken = await create("np2", { type: "NodePort", ports: [{ port: 80, nodePort: port }] });
  assert.match(
    String(taken.at("message")),
    new RegExp(`spec\\.ports\\[0\\]\\.nodePort: Invalid value: ${port}: provided port is already allocated`),
  );
  const outside = await create("np3", { type: "NodePort", ports: [{ port: 80, nodePort: 80 }] });
  assert.match(String(outside.at("message")), /provided port is not in the valid range\. The range of valid ports is 30000-32767/);
  const ports = [
    { name: "udp", port: 53, protocol: "UDP" },
    { name: "tcp", port: 53, protocol: "TCP" },
  ];
  const shared = await create("dns", { type: "NodePort", ports });
  assert.equal(shared.at("spec.ports.0.nodePort"), shared.at("spec.ports.1.nodePort"));
  await server.call("DELETE", `${PATH}/np`);
  assert.equal((await create("np4", { type: "NodePort", ports: [{ port: 80, nodePort: port }] })).status, 201);
});

test("changes of the type keep, drop and allocate as upstream does", async () => {
  const created = await create("changing", { selector: { a: "b" } });
  const ip = created.at("spec.clusterIP");
  const nodePort = await patch("changing", { type: "NodePort" });
  assert.deepEqual([nodePort.at("spec.clusterIP"), typeof nodePort.at("spec.ports.0.nodePort")], [ip, "number"]);
  const back = await patch("changing", { type: "ClusterIP" });
  assert.deepEqual([back.at("spec.clusterIP"), back.at("spec.ports.0.nodePort")], [ip, undefined], back.text);
  const external = await patch("changing", { type: "ExternalName", externalName: "example.org" });
  assert.equal(external.status, 200, external.text);
  assert.deepEqual(
    [external.at("spec.clusterIP"), external.at("spec.clusterIPs"), external.at("spec.ipFamilies")],
    [undefined, undefined, undefined],
  );
  assert.equal((await create("inherits", { clusterIP: ip })).status, 201);
  const again = await patch("changing", { type: "ClusterIP", externalName: null });
  assert.equal(again.status, 200, again.text);
  assert.match(String(again.at("spec.clusterIP")), /^10\.96\./);
  assert.notEqual(again.at("spec.clusterIP"), ip);
});

test("a Service becomes dual-stack and single-stack again", async () => {
  const created = await create("grows", {});
  const dual = await patch("grows", { ipFamilyPolicy: "PreferDualStack" });
  assert.deepEqual(addresses(dual), ["PreferDualStack", ["IPv4", "IPv6"], [4, 6]]);
  assert.equal(dual.at("spec.clusterIP"), created.at("spec.clusterIP"));
  const single = await patch("grows", { ipFamilyPolicy: "SingleStack" });
  assert.deepEqual(addresses(single), ["SingleStack", ["IPv4"], [4]]);
  assert.equal((await create("takes", { clusterIP: (dual.at("spec.clusterIPs") as string[])[1] })).status, 201);
});

test("a client that sends nothing of what was allocated keeps it", async () => {
  const created = await create("idle", { type: "NodePort" });
  const sent = { metadata: { name: "idle" }, spec: { type: "NodePort", ports: [{ port: 80 }] } };
  const updated = await server.call("PUT", `${PATH}/idle`, { body: sent });
  assert.equal(updated.status, 200, updated.text);
  assert.equal(updated.text, created.text);
});

test("the server's own Service and its endpoints", async () => {
  const service = await server.call("GET", `${PATH}/kubernetes`);
  assert.deepEqual(service.at("spec.clusterIPs"), ["10.96.0.1", "fd00:10:96::1"]);
  const slices = await server.call(
    "GET",
    "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?labelSelector=kubernetes.io/service-name%3Dkubernetes",
  );
  const found = (slices.at("items") as { addressType: string; endpoints: { addresses: string[] }[] }[]).map(
    (s) => `${s.addressType} ${s.endpoints[0]?.addresses[0]}`,
  );
  assert.deepEqual(found, ["IPv4 172.18.0.1", "IPv6 fd00:18::1"]);
  assert.equal((await server.call("GET", "/api/v1/namespaces/default/endpoints/kubernetes")).at("subsets.0.addresses.0.ip"), "172.18.0.1");
});

test("an allocator gives each address once, until the range is full", () => {
  fc.assert(
    fc.property(fc.constantFrom("10.0.0.0/28", "10.0.0.0/29", "fd00::/124"), fc.array(fc.nat(20), { maxLength: 8 }), (text, wanted) => {
      const prefix = parsePrefix(text);
      const allocator = new IpAllocator(prefix);
      const given = new Set<string>();
      for (const n of wanted) {
        const ip = prefix.addr.family === 4 ? `10.0.0.${n}` : `fd00::${n.toString(16)}`;
        if (allocator.take(ip) === undefined) given.add(ip);
      }
      const size = Number(text.slice(text.indexOf("/") + 1)) === 29 ? 8 : 16;
      for (let ip = allocator.takeNext(); ip !== undefined; ip = allocator.takeNext()) {
        assert.ok(!given.has(ip), ip);
        given.add(ip);
      }
      assert.ok(given.size >= size - 2 && given.size <= size - 1, `${given.size} of ${size}`);
      const [one = ""] = given;
      allocator.release(one);
      assert.equal(allocator.take(one), undefined);
    }),
    { numRuns: 40 },
  );
});

test("chosen addresses come from above those that are left for the choosy", () => {
  const allocator = new IpAllocator(parsePrefix("10.96.0.0/16"));
  for (let i = 0; i < 200; i++) assert.ok(!allocator.takeNext()?.startsWith("10.96.0."));
  const ports = new PortAllocator({ first: 30_000, last: 30_031 });
  const given = Array.from({ length: 16 }, () => ports.takeNext() ?? 0);
  assert.ok(given.every((port) => port >= 30_016));
  assert.equal(new Set([...given, ...Array.from({ length: 16 }, () => ports.takeNext())]).size, 32);
  assert.equal(ports.takeNext(), undefined);
});

test("ranges may overlap, give out one after the other, and keep what they have when they retire", () => {
  const ranges = new AddressRanges([parsePrefix("10.0.0.0/30"), parsePrefix("fd00::/120")]);
  ranges.set("more", [parsePrefix("10.0.0.0/29"), parsePrefix("10.9.0.0/30")]);
  assert.deepEqual(ranges.families, [4, 6]);
  assert.equal(ranges.take("10.0.0.1"), undefined);
  assert.equal(ranges.take("10.0.0.1"), "provided IP is already allocated");
  const given = new Set<string>();
  for (let ip = ranges.takeNext(4); ip !== undefined; ip = ranges.takeNext(4)) given.add(ip);
  assert.deepEqual([...given].sort(), ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6", "10.9.0.1", "10.9.0.2"]);
  assert.match(ranges.take("192.0.2.1") ?? "", /valid IPs is 10\.0\.0\.0\/30, 10\.0\.0\.0\/29, 10\.9\.0\.0\/30$/);

  ranges.retire("more");
  ranges.release("10.9.0.2");
  assert.equal(ranges.takeNext(4), undefined);
  assert.match(ranges.take("10.9.0.2") ?? "", /not in the valid range/);
  assert.equal(ranges.retake("10.9.0.2"), undefined);
  assert.equal(ranges.isNeeded("more"), true);
  for (const ip of given) if (ip !== "10.0.0.2") ranges.release(ip);
  assert.equal(ranges.isNeeded("more"), false, "10.0.0.1 and 10.0.0.2 are in the other range too");
});

test("a ServiceCIDR is a further range, until it is deleted and no Service has an address of it", async () => {
  const path = "/apis/networking.k8s.io/v1/servicecidrs";
  const ready = async (): Promise<unknown> => {
    const answer = await server.call("GET", `${path}/more`);
    return answer.status === 404 ? "gone" : answer.at("status.conditions.0.status");
  };
  const until = async (wanted: unknown): Promise<void> => {
    let last = await ready();
    for (let i = 0; i < 200 && last !== wanted; i++) last = await ready();
    assert.equal(last, wanted);
  };
  assert.equal((await create("far", { clusterIP: "10.200.0.10" })).status, 422);
  assert.equal((await server.call("POST", path, { body: { metadata: { name: "more" }, spec: { cidrs: ["10.200.0.0/24"] } } })).status, 201);
  await until("True");
  assert.equal((await create("far", { clusterIP: "10.200.0.10" })).status, 201);
  assert.equal((await server.call("DELETE", `${path}/more`)).status, 200);
  await until("False");
  assert.match(String((await create("farther", { clusterIP: "10.200.0.11" })).at("message")), /not in the valid range/);
  assert.equal((await server.call("DELETE", `${PATH}/far`)).status, 200);
  await until("gone");
});
