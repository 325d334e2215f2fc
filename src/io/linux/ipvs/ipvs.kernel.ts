import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { netns } from "../netns.ts";
import { openRoute } from "../route/index.ts";
import { IPVS_CONTRACT } from "./contract.ts";
import { openIpvs } from "./socket.ts";
import type { IpvsSocket } from "./types.ts";

function inNewNetns(run: (ipvs: IpvsSocket) => void): void {
  using ns = netns.createAnonymous();
  // A namespace that has had no address yet has no table of local ones, and takes no IPv4 destinations (inet_addr_type).
  const route = openRoute(ns);
  route.links.change("lo", { up: true });
  route.close();
  const ipvs = openIpvs(ns);
  try {
    run(ipvs);
  } finally {
    ipvs.flush();
    ipvs.close();
  }
}

describe("IPVS, kernel", () => {
  for (const { name, run } of IPVS_CONTRACT) test(name, () => inNewNetns(run));

  test("each namespace has its own", () => {
    inNewNetns((one) => {
      one.apply([{ op: "add service", service: { family: 4, fwmark: 1, scheduler: "rr" } }]);
      inNewNetns((other) => assert.deepEqual(other.services(), []));
    });
  });
});
