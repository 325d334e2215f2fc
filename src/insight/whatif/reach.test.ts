import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Addr, type Family, formatAddr, parseAddr } from "#ip";
import type { PodFacts } from "#netpol";
import { SCTP, TCP, UDP } from "#nft";
import { allowedInTiers } from "../../core/netpol/testing/cluster-reference.ts";
import { type Partition, partition } from "./atoms.ts";
import { formatPoint, PortSets, pointOf } from "./ports.ts";
import { Reach } from "./reach.ts";
import { cluster } from "./testing/random.ts";

/** `FAIRLEAD_TEST_RUNS=2000` for a long look. */
const RUNS = Number(process.env["FAIRLEAD_TEST_RUNS"] ?? 25);
/** The edges of all rules of the generator, and beside them. */
const EDGES = [0, 79, 80, 81, 82, 442, 443, 444, 7999, 8000, 8001, 9000, 9001, 65_534, 65_535];
const PACKETS = [TCP, UDP, SCTP].flatMap((protocol) => EDGES.map((port) => ({ protocol, port })));

function ends(parts: Partition, pods: Iterable<PodFacts>, family: Family): Addr[] {
  const own = [...pods].flatMap(({ addrs }) => addrs.filter((addr) => addr.family === family));
  const others = parts.atoms.flatMap((atom) => (atom.kind === "block" && atom.family === family ? [atom.sample] : []));
  const nodes = parts.worlds.flatMap((world) => world.nodes.flatMap(({ addrs }) => addrs.filter((addr) => addr.family === family)));
  return [...own, ...others, ...nodes];
}

test("each packet between any two of all classes is judged as the prose of the API judges it", () => {
  fc.assert(
    fc.property(cluster, ({ objects, clusterObjects, world }) => {
      const policies = { networkPolicies: objects, clusterPolicies: clusterObjects };
      const parts = partition([world]);
      const sets = new PortSets();
      const reach = new Reach(parts, 0, sets);
      for (const family of [4, 6] as const) {
        const all = ends(parts, world.pods.values(), family);
        const pairs = all.flatMap((src) => all.filter((dst) => dst !== src).map((dst) => ({ src, dst })));
        for (const { src, dst } of pairs) {
          const [from, to] = [parts.atomOf(src), parts.atomOf(dst)];
          assert.ok(from !== undefined && to !== undefined);
          const set = reach.between(from, to, family);
          for (const { protocol, port } of PACKETS) {
            const expected = allowedInTiers(policies, world, { src, dst, protocol, port });
            const point = pointOf(protocol, port);
            const text = `${formatAddr(src)} -> ${formatAddr(dst)} ${formatPoint(point)}`;
            assert.equal(sets.has(set, point), expected, text);
          }
        }
      }
    }),
    { numRuns: RUNS },
  );
});

test("who decides agrees with what is decided", () => {
  fc.assert(
    fc.property(cluster, ({ world }) => {
      const parts = partition([world]);
      const sets = new PortSets();
      const reach = new Reach(parts, 0, sets);
      for (const subject of parts.podAtoms) {
        for (const other of parts.atoms) {
          for (const direction of ["ingress", "egress"] as const) {
            if (!reach.matcher.has(subject, 4) || !reach.matcher.has(other, 4)) continue;
            const set = reach.vector(subject, direction, 4)[other.index] ?? 0;
            for (const point of [...sets.points(set), ...sets.points(sets.subtract(sets.all, set))]) {
              const reason = reach.reason({ subject, direction, other, family: 4, point });
              const isAllowed = reason.by === "nothing isolates" || (reason.by === "rule" && reason.action === "Accept");
              assert.equal(isAllowed, sets.has(set, point));
            }
          }
        }
      }
    }),
    { numRuns: 40 },
  );
});

test("addresses of a block that has only pods are nobody else's", () => {
  const pod = { key: "x/a", uid: "", namespace: "x", nodeName: "", labels: {}, addrs: [parseAddr("10.0.0.1")], ports: [], isPeer: true };
  const intervals = { 4: [{ first: parseAddr("10.0.0.1"), last: parseAddr("10.0.0.1") }], 6: [] };
  const parts = partition([
    {
      pods: new Map([["x/a", pod]]),
      namespaces: new Map(),
      nodes: [],
      policies: [],
      clusterPolicies: [
        {
          ref: { kind: "ClusterNetworkPolicy", key: "one" },
          tier: "Admin",
          priority: 1,
          subjects: [],
          isolates: [],
          problems: [],
          rules: [
            { direction: "egress", path: "spec.egress[0]", action: "Deny", peers: [{ kind: "blocks", intervals }], ports: undefined },
          ],
        },
      ],
    },
  ]);
  assert.deepEqual(
    parts.atoms.map((atom) => (atom.kind === "block" ? `IPv${atom.family}` : atom.kind)),
    ["pods", "IPv4", "IPv6"],
  );
});
