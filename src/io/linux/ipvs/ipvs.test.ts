import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { errorCode } from "#base";
import { parseAddr } from "#ip";
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
