import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeKernel } from "../fake/index.ts";
import { conntrackContract } from "./conntrack.ts";
import { networkContract } from "./index.ts";

const kernel = new FakeKernel();
let paths = 0;

networkContract({ netns: kernel.netns, openRoute: kernel.openRoute, freePath: () => `/run/netns/ns-${++paths}` });

const ns = kernel.netns.createAnonymous();
conntrackContract({
  conntrack: kernel.openConntrack(ns),
  insert(tuples) {
    const entries = tuples.map((original, i) => {
      const reply = { ...original, src: original.dst, dst: original.src, srcPort: original.dstPort, dstPort: original.srcPort };
      return { original, reply, id: i + 1, mark: 0, zone: 0, timeoutSeconds: 300, status: 0 };
    });
    kernel.setConntrack(ns, entries);
  },
});

test("a test may have an operation refused, and kinds of links missing", () => {
  const poor = new FakeKernel({ missingKinds: ["vxlan"] });
  const own = poor.netns.createAnonymous();
  const route = poor.openRoute(own);
  assert.throws(() => route.links.add({ name: "vx", type: { kind: "vxlan", vni: 1, port: 8472, learning: false } }), /EOPNOTSUPP/);
  poor.refuse(own, (op) => (op.startsWith("add link") ? "ENOMEM" : undefined));
  assert.throws(() => route.links.add({ name: "br0", type: { kind: "bridge" } }), /Cannot add link "br0" \(bridge\): .*\(ENOMEM\)/);
  poor.refuse(own, undefined);
  route.links.add({ name: "br0", type: { kind: "bridge" } });
});
