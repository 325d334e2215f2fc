import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { formatAddr, parseAddr, parseMac, parsePrefix } from "#ip";
import type * as model from "#model";
import { drop } from "#nft";
import { planProbes } from "./probes.ts";
import { formatResults, listChecks } from "./report.ts";
import { CHECKS, parseOnly, runChecks } from "./run.ts";
import { healthy, meta, OBJECTS, SETTINGS } from "./testing/cluster.ts";
import type { Facts } from "./types.ts";

function failed(facts: Facts): number[] {
  return runChecks(facts)
    .filter(({ passed }) => !passed)
    .map(({ number }) => number);
}

/** The cluster with another state of one namespace. */
function withState(facts: Facts, name: string, change: (state: model.Namespace) => Partial<model.Namespace>): Facts {
  const answers = facts.answers.map(({ report, ...answer }) => ({
    ...answer,
    ...(report !== undefined && {
      report: {
        ...report,
        namespaces: report.namespaces.map((one) =>
          one.state.name === name ? { ...one, state: { ...one.state, ...change(one.state) } } : one,
        ),
      },
    }),
  }));
  return { ...facts, answers };
}

function withLink(name: string, link: string, change: Partial<model.Link>): Facts {
  return withState(healthy(), name, ({ links }) => ({ links: links.map((one) => (one.name === link ? { ...one, ...change } : one)) }));
}

function withTable(name: string, change: (table: NonNullable<model.Namespace["tables"]>[number]) => object): Facts {
  return withState(healthy(), "node-2", ({ tables = [] }) => ({
    tables: tables.map((one) => (one.name === name ? { ...one, ...change(one) } : one)),
  }));
}

function withProbe(purpose: string, result: object): Facts {
  const facts = healthy();
  const first = facts.probes.find((probe) => probe.purpose === purpose);
  return {
    ...facts,
    probes: facts.probes.map((probe) => (probe === first ? { ...probe, result: { outcome: "silence" as const, ...result } } : probe)),
  };
}

function withObjects(change: (objects: Facts["objects"]) => Partial<Facts["objects"]>): Facts {
  return { ...healthy(), objects: { ...OBJECTS, ...change(OBJECTS) } };
}

function hostLink(facts: Facts): string {
  const node = facts.answers[0]?.report?.namespaces.find(({ state }) => state.name === "node-1");
  return node?.state.links.find(({ name }) => name.endsWith("real"))?.name ?? assert.fail("no link of a pod");
}

test("a healthy cluster passes every check, and each has looked at something", () => {
  for (const overlay of ["vxlan", "host-gw"] as const) {
    const results = runChecks(healthy(OBJECTS, { ...SETTINGS, overlay }));
    assert.deepEqual(
      results.flatMap(({ number, failures, warnings }) => [...failures, ...warnings].map((finding) => ({ number, ...finding }))),
      [],
      overlay,
    );
    for (const { number, examined } of results) assert.ok(examined > 0, `${overlay}: check ${number} examined nothing`);
  }
});

const POD_MAC = parseMac("02:00:00:00:00:99");
const GONE = parseAddr("10.244.1.77");

/** Each fault, and the checks that tell of it. */
const FAULTS: Readonly<Record<string, { readonly facts: () => Facts; readonly checks: readonly number[] }>> = {
  "an agent does not answer": {
    facts: () => {
      const { answers, ...facts } = healthy();
      return {
        ...facts,
        answers: answers.map(({ report, ...one }) => (one.node === "node-3" ? { ...one, error: "timeout" } : { ...one, report })),
      } as Facts;
    },
    checks: [1],
  },
  "a Node is not Ready": {
    facts: () =>
      withObjects(({ nodes }) => ({
        nodes: nodes.map((node, i) => (i === 0 ? { ...node, status: { ...node.status, conditions: [] } } : node)),
      })),
    checks: [1],
  },
  "two pods with one address, by the API": {
    facts: () =>
      withObjects(({ pods }) => ({
        pods: [...pods, ...pods.slice(0, 1).map((pod) => ({ ...pod, metadata: { ...pod.metadata, name: "twin", uid: "twin" } }))],
      })),
    checks: [2],
  },
  "an address that another node has, in the kernel": {
    facts: () =>
      withState(healthy(), "node-2", ({ addrs }) => ({ addrs: [...addrs, { link: "lo", prefix: parsePrefix("172.18.0.11/32") }] })),
    checks: [2],
  },
  "a pod whose address its node does not hold": {
    facts: () => {
      const { answers, ...facts } = healthy();
      return { ...facts, answers: answers.map((one) => ({ ...one, leases: one.node === "node-2" ? [] : (one.leases ?? []) })) };
    },
    checks: [2],
  },
  "an address that is held for nobody": {
    facts: () => {
      const { answers, ...facts } = healthy();
      return {
        ...facts,
        answers: answers.map((one) => ({ ...one, leases: [...(one.leases ?? []), { addr: "10.244.1.99", containerId: "gone" }] })),
      };
    },
    checks: [15],
  },
  "a Service outside the Service CIDRs": {
    facts: () => ({
      ...healthy(),
      settings: { ...SETTINGS, serviceCidrs: [parsePrefix("10.97.0.0/16"), parsePrefix("fd00:10:96::/112")] },
    }),
    checks: [3],
  },
  "overlapping Pod CIDRs": {
    facts: () =>
      withObjects(({ nodes }) => ({
        nodes: nodes.map((node, i) => (i === 2 ? { ...node, spec: { podCIDRs: ["10.244.1.128/25"] } } : node)),
      })),
    checks: [4],
  },
  "the bridge is down": { facts: () => withLink("node-1", "cni0", { up: false }), checks: [5] },
  "a pod's link is no port of the bridge": {
    facts: () => {
      const name = hostLink(healthy());
      return withState(healthy(), "node-1", ({ links }) => ({
        links: links.map(({ master, ...one }) => (one.name === name || master === undefined ? one : { ...one, master })),
      }));
    },
    checks: [5],
  },
  "a pod has lost its address": { facts: () => withState(healthy(), "x/web", () => ({ addrs: [] })), checks: [6] },
  "a pod has lost its default route": { facts: () => withState(healthy(), "x/db", () => ({ routes: [] })), checks: [6] },
  "a route to another node is gone": {
    facts: () =>
      withState(healthy(), "node-3", ({ routes }) => ({ routes: routes.filter(({ dst }) => formatAddr(dst.addr) !== "10.244.1.0") })),
    checks: [7],
  },
  "a route to a node that is gone": {
    facts: () =>
      withState(healthy(), "node-3", ({ routes }) => ({
        routes: [...routes, { dst: parsePrefix("10.244.9.0/24"), nextHops: [{ via: parseAddr("172.18.0.19"), link: "eth0" }] }],
      })),
    checks: [7],
  },
  "a neighbour with another MAC": {
    facts: () =>
      withState(healthy(), "node-1", ({ neighs = [] }) => ({ neighs: neighs.map((one, i) => (i === 0 ? { ...one, mac: POD_MAC } : one)) })),
    checks: [8],
  },
  "a forwarding entry of the tunnel is gone": {
    facts: () => {
      const isTunnel = ({ dst }: model.Fdb): boolean => dst !== undefined;
      return withState(healthy(), "node-1", ({ fdb = [] }) => ({ fdb: fdb.toSpliced(fdb.findIndex(isTunnel), 1) }));
    },
    checks: [9],
  },
  "a tunnel to nowhere": {
    facts: () =>
      withState(healthy(), "node-1", ({ fdb = [] }) => ({
        fdb: [...fdb, { link: "fairlead.vx", mac: POD_MAC, dst: parseAddr("172.18.0.99") }],
      })),
    checks: [9],
  },
  "another MTU in a pod": { facts: () => withLink("x/web", "eth0", { mtu: 1400 }), checks: [10] },
  "another MTU of the tunnel": { facts: () => withLink("node-2", "fairlead.vx", { mtu: 1500 }), checks: [10] },
  "large packets do not arrive": { facts: () => withProbe("size", {}), checks: [11] },
  "somebody has flushed the policies": { facts: () => withTable("fairlead-policy", () => ({ sets: [], chains: [] })), checks: [12] },
  "a table is gone": {
    facts: () => withState(healthy(), "node-1", ({ tables = [] }) => ({ tables: tables.filter(({ name }) => name !== "fairlead-proxy") })),
    checks: [12],
  },
  "an element of a Service is gone": {
    facts: () =>
      withTable("fairlead-proxy", ({ sets }) => ({
        sets: sets.map((set) => (set.name === "services4" ? { ...set, elements: set.elements.slice(1) } : set)),
      })),
    checks: [12],
  },
  "a rule of somebody else in our chain": {
    facts: () =>
      withTable("fairlead-policy", ({ chains }) => ({
        chains: chains.map((chain) => (chain.name === "routed" ? { ...chain, rules: [{ statements: [drop()] }, ...chain.rules] } : chain)),
      })),
    checks: [12],
  },
  "DNS is silent": { facts: () => withProbe("dns", {}), checks: [13] },
  "DNS answers nonsense": { facts: () => withProbe("dns", { outcome: "answered", firstBytes: new Uint8Array(3) }), checks: [13] },
  "nobody listens at an endpoint": { facts: () => withProbe("endpoint", { outcome: "refused", errno: "ECONNREFUSED" }), checks: [14] },
  "the neighbour of a pod that is gone": {
    facts: () =>
      withState(healthy(), "node-1", ({ neighs = [] }) => ({
        neighs: [...neighs, { link: "cni0", addr: GONE, mac: POD_MAC, state: "permanent" }],
      })),
    checks: [15],
  },
  "a namespace without its Pod": {
    facts: () => {
      const facts = healthy();
      const pods = facts.objects.pods.filter(({ metadata }) => metadata.name !== "db");
      return { ...facts, objects: { ...facts.objects, pods, networkPolicies: [] } };
    },
    checks: [15],
  },
  "clocks differ": {
    facts: () => {
      const { answers, ...facts } = healthy();
      return {
        ...facts,
        answers: answers.map(({ report, ...one }) => ({
          ...one,
          ...(report && { report: one.node === "node-2" ? { ...report, timeMs: report.timeMs + 5000 } : report }),
        })),
      };
    },
    checks: [16],
  },
  "no room for connections": {
    facts: () => {
      const { answers, ...facts } = healthy();
      const full = (report: NonNullable<Facts["answers"][number]["report"]>): typeof report => ({
        ...report,
        namespaces: report.namespaces.map((one) => ({ ...one, conntrack: { count: 900, max: 1000 } })),
      });
      return { ...facts, answers: answers.map(({ report, ...one }) => ({ ...one, ...(report && { report: full(report) }) })) };
    },
    checks: [17],
  },
  "a policy that cannot be understood": {
    facts: () =>
      withObjects(({ networkPolicies }) => ({
        networkPolicies: networkPolicies.map((one) => ({
          ...one,
          spec: { podSelector: {}, ingress: [{ from: [{ ipBlock: { cidr: "nonsense" } }] }] },
        })),
      })),
    checks: [18],
  },
  "a node does not forward": {
    facts: () => withState(healthy(), "node-1", ({ sysctls }) => ({ sysctls: { ...sysctls, "net/ipv4/ip_forward": 0 } })),
    checks: [19],
  },
  "strict reverse path filtering": {
    facts: () =>
      withState(healthy(), "node-1", ({ sysctls }) => ({
        sysctls: { ...sysctls, "net/ipv4/conf/all/rp_filter": 1, "net/ipv4/conf/fairlead.vx/rp_filter": 0 },
      })),
    checks: [19],
  },
};

describe("each fault fails exactly its check", () => {
  for (const [name, { facts, checks }] of Object.entries(FAULTS)) {
    test(name, () => assert.deepEqual(failed(facts()), checks));
  }

  test("there is a fault for every check", () => {
    const found = new Set(Object.values(FAULTS).flatMap(({ checks }) => checks));
    assert.deepEqual(
      [...found].sort((a, b) => a - b),
      CHECKS.map(({ number }) => number),
    );
  });
});

test("what policies forbid is not tried: the endpoint is open to node-1's address alone, and to its own node", () => {
  const tried = healthy().probes.filter(({ target }) => target.includes("10.244.2.2:8080"));
  assert.deepEqual(
    tried.map(({ node }) => node),
    ["node-1", "node-2"],
  );
});

test("with many nodes there are no more probes than can be waited for, and every node and endpoint has its part", () => {
  const facts = healthy();
  const [first] = facts.answers;
  const answers = Array.from({ length: 300 }, (_, i) => ({ ...first, node: `node-${i + 1}`, askedMs: 0, answeredMs: 0 }));
  const nodes = answers.map(({ node }, i) => ({
    ...(OBJECTS.nodes[0] ?? assert.fail("no node")),
    metadata: { ...meta(node) },
    spec: { podCIDRs: [`10.${i >> 8}.${i & 255}.0/24`] },
  }));
  const desired = {
    namespaces: answers.map(({ node }) => ({ ...(facts.desired.namespaces[0] ?? assert.fail("no namespace")), name: node })),
  };
  const planned = planProbes({ ...facts, answers, desired, objects: { ...facts.objects, nodes } }).filter(
    ({ purpose }) => purpose === "size",
  );
  assert.ok(planned.length <= 2000, String(planned.length));
  assert.equal(new Set(planned.map(({ node }) => node)).size, 300);
  assert.equal(new Set(planned.map(({ target }) => target)).size, 300);
});

test("a policy that selects no pod is a warning", () => {
  const facts = withObjects(({ networkPolicies }) => ({
    networkPolicies: networkPolicies.map((one) => ({ ...one, spec: { podSelector: { matchLabels: { app: "nobody" } } } })),
  }));
  const [result] = runChecks(facts, { only: parseOnly("18") });
  assert.equal(result?.passed, true);
  assert.deepEqual(
    result.warnings.map(({ object, problem }) => [object, problem]),
    [["NetworkPolicy x/db", "spec.podSelector selects no pod"]],
  );
});

test("only some checks, and what is none", () => {
  assert.deepEqual([...parseOnly("3,7")], [3, 7]);
  assert.deepEqual([...parseOnly("5-7,2")], [5, 6, 7, 2]);
  for (const text of ["0", "20", "x", "", "3-99"]) assert.throws(() => parseOnly(text), /is no check/);
});

test("for people", () => {
  const text = formatResults(runChecks(withLink("node-1", "cni0", { up: false }), { only: parseOnly("4,5") }));
  assert.match(text, /^ok {4}4 {2}Pod CIDRs are disjoint +6 Pod CIDRs\nFAIL {2}5 {2}links are there and up +\d+ links\n/);
  assert.match(text, /node node-1: link cni0 is down\n +→ `ip link set cni0 up`/);
  assert.match(text, /1 of 2 checks failed: 5\n$/);
  assert.equal(listChecks().split("\n").length, 2 * CHECKS.length + 1);
});
