import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { errorCode } from "#base";
import { formatAddrPort, parseAddr } from "#ip";
import { readConnections } from "./connections.ts";
import { IPVS_CONTRACT } from "./contract.ts";
import { FakeIpvs } from "./fake.ts";

describe("IPVS, fake", () => {
  for (const { name, run } of IPVS_CONTRACT) test(name, () => run(new FakeIpvs()));
});

test("a test may have a change refused, and connections there", () => {
  const ipvs = new FakeIpvs();
  const service = { addr: parseAddr("10.96.0.1"), protocol: 6, port: 80, scheduler: "rr" };
  const destination = { addr: parseAddr("10.244.1.2"), port: 80, weight: 1 };
  ipvs.failNext("ENOMEM");
  assert.throws(
    () => ipvs.apply([{ op: "add service", service }]),
    (err) => errorCode(err) === "ENOMEM",
  );
  ipvs.apply([
    { op: "add service", service },
    { op: "add destination", service, destination },
  ]);
  ipvs.setConnections(service, destination, 2, 3);
  assert.partialDeepStrictEqual(ipvs.destinations(service), [{ activeConnections: 2, inactiveConnections: 3 }]);
});

test("connections as /proc tells them", () => {
  const lines = [
    "Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData",
    "TCP 0AF40102 9C40 0A600001 0050 0AF40103 1F90 ESTABLISHED     899",
    "TCP AC120001 0000 0A600001 0050 0AF40103 1F90 NONE          10799",
    "UDP [fd00:0010:0244:0001:0000:0000:0000:0002] 9C40 [fd00:0010:0096:0000:0000:0000:0000:0001] 0035 [fd00:0010:0244:0001:0000:0000:0000:0003] 0035 UDP 299",
    "",
  ];
  const found = readConnections(lines.join("\n")).map(({ client, clientPort, service, destination, ...rest }) => ({
    ...rest,
    path: [
      formatAddrPort(client, clientPort),
      formatAddrPort(service.addr, service.port),
      formatAddrPort(destination.addr, destination.port),
    ],
  }));
  assert.deepEqual(found, [
    { protocol: 6, state: "ESTABLISHED", expiresSeconds: 899, path: ["10.244.1.2:40000", "10.96.0.1:80", "10.244.1.3:8080"] },
    { protocol: 6, state: "NONE", expiresSeconds: 10_799, path: ["172.18.0.1:0", "10.96.0.1:80", "10.244.1.3:8080"] },
    { protocol: 17, state: "UDP", expiresSeconds: 299, path: ["[fd00:10:244:1::2]:40000", "[fd00:10:96::1]:53", "[fd00:10:244:1::3]:53"] },
  ]);
});
