import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseAddr } from "#ip";
import { keyOf, type Stored } from "#kube";
import { SCTP, TCP, UDP } from "#nft";
import { allowedPorts } from "./allowed-ports.ts";
import { isAllowed } from "./decide.ts";
import { applyEdits, insertInto, renewed } from "./edits.ts";
import { judge } from "./judge.ts";
import type { Edit, Flow, FlowEnd, Opened, World } from "./judge-types.ts";
import { openedBy } from "./opens.ts";
import { parsePolicy } from "./parse.ts";
import { pod, policy } from "./testing/objects.ts";
import { flowOf, type RandomWorld, randomPacket, randomWorld } from "./testing/random.ts";
import { allowed } from "./testing/reference.ts";
import type { Cluster, NetworkPolicy, PodFacts, Policy } from "./types.ts";

function worldOf(cluster: Cluster, objects: readonly Stored<NetworkPolicy>[]): World {
  const policies = new Map<string, Map<string, Policy>>();
  for (const object of objects) {
    const parsed = parsePolicy(object);
    policies.set(parsed.namespace, (policies.get(parsed.namespace) ?? new Map<string, Policy>()).set(keyOf(object), parsed));
  }
  return { cluster, policies };
}

function byReference(objects: readonly Stored<NetworkPolicy>[], cluster: Cluster, { from, to, protocol, port = 0 }: Flow): boolean {
  return allowed(objects, cluster, { src: from.addr, dst: to.addr, protocol, port });
}

/** The edits on the API's objects, by hands of their own. */
function edited({ cluster, objects }: RandomWorld, edits: readonly Edit[]): RandomWorld {
  const pods = new Map(cluster.pods);
  const namespaces = new Map(cluster.namespaces);
  let policies = objects;
  for (const edit of edits) {
    if (edit.kind === "insert") {
      policies = policies.map((one) => (keyOf(one) === edit.policy.key ? (insertInto(one, edit.path, edit.value) as typeof one) : one));
      continue;
    }
    const change = (labels: Readonly<Record<string, string>>): Record<string, string> =>
      Object.fromEntries(Object.entries({ ...labels, ...edit.set }).filter(([key]) => !edit.remove.includes(key)));
    const own = pods.get(edit.name);
    if (edit.object === "Namespace") namespaces.set(edit.name, change(namespaces.get(edit.name) ?? assert.fail(edit.name)));
    else if (own !== undefined) pods.set(edit.name, { ...own, labels: change(own.labels) });
  }
  return { cluster: { pods, namespaces }, objects: policies };
}

test("judges as the prose of the API", () => {
  fc.assert(
    fc.property(randomWorld, fc.array(randomPacket, { minLength: 4, maxLength: 8 }), (random, packets) => {
      const world = worldOf(random.cluster, random.objects);
      for (const packet of packets) {
        const flow = flowOf(random.cluster, packet);
        const { allowed: isOpen, egress, ingress } = judge(world, flow);
        assert.equal(isOpen, byReference(random.objects, random.cluster, flow));
        assert.equal(isOpen, egress.allowed && ingress.allowed);
        assert.equal(isOpen, isAllowed(world, flow));
        const ranges = allowedPorts(world, flow).ranges.get(packet.protocol) ?? [];
        assert.equal(
          ranges.some(({ first, last }) => first <= packet.port && packet.port <= last),
          isOpen,
        );
      }
    }),
    { numRuns: 400 },
  );
});

test("a rule that decides is there, and so are its entries", () => {
  fc.assert(
    fc.property(randomWorld, randomPacket, (random, packet) => {
      const { egress, ingress } = judge(worldOf(random.cluster, random.objects), flowOf(random.cluster, packet));
      for (const { decidedBy } of [egress, ingress]) {
        if (decidedBy.by !== "rule") continue;
        const object = random.objects.find((one) => keyOf(one) === decidedBy.policy.key) ?? assert.fail(decidedBy.policy.key);
        assert.notEqual(at(object, decidedBy.path), undefined, decidedBy.path);
        if (decidedBy.portPath !== undefined) assert.notEqual(at(object, decidedBy.portPath), undefined, decidedBy.portPath);
      }
    }),
  );
});

function at(object: unknown, path: string): unknown {
  let node = object;
  for (const step of path.split(/[.[\]]+/).filter((one) => one !== "")) node = (node as Record<string, unknown> | undefined)?.[step];
  return node;
}

test("every fix that is offered opens its direction, by the prose of the API, and closes none", () => {
  let fixes = 0;
  let misses = 0;
  fc.assert(
    fc.property(randomWorld, fc.array(randomPacket, { minLength: 4, maxLength: 8 }), (random, packets) => {
      const world = worldOf(random.cluster, random.objects);
      for (const packet of packets) {
        const flow = flowOf(random.cluster, packet);
        const { egress, ingress } = judge(world, flow, { nearMisses: 9 });
        for (const [own, other] of [
          [egress, ingress],
          [ingress, egress],
        ] as const) {
          for (const { fix, lacks } of own.nearMisses) {
            misses++;
            assert.ok(lacks.length > 0);
            if (fix === undefined) continue;
            fixes++;
            const after = edited(random, fix.edits);
            const flowAfter = renewed(worldOf(after.cluster, after.objects), flow);
            const isOpen = byReference(after.objects, after.cluster, flowAfter);
            assert.equal(isOpen, other.allowed || isAllowed(worldOf(after.cluster, after.objects), flowAfter), fix.text);
            assert.ok(judge(worldOf(after.cluster, after.objects), flowAfter)[own.direction].allowed, fix.text);
          }
        }
      }
    }),
    { numRuns: 200 },
  );
  assert.equal(fixes, misses, "with TCP, UDP and SCTP there is always one");
});

test("what a fix opens besides is the difference, pair by pair and port by port", () => {
  fc.assert(
    fc.property(randomWorld, fc.array(randomPacket, { minLength: 3, maxLength: 5 }), (random, packets) => {
      const world = worldOf(random.cluster, random.objects);
      for (const packet of packets) {
        const flow = flowOf(random.cluster, packet);
        for (const { fix, opens } of judge(world, flow, { opens: true }).ingress.nearMisses) {
          if (fix === undefined) continue;
          assert.deepEqual(flatten(opens ?? []), bruteForce(random, edited(random, fix.edits), flow), fix.text);
        }
      }
    }),
    { numRuns: 60 },
  );
});

const PORTS = [1, 79, 80, 81, 82, 83, 65_535];

function flatten(opens: readonly Opened[]): string[] {
  const out: string[] = [];
  for (const { from, to, families, protocol, first, last } of opens) {
    if (protocol === "other") continue;
    for (const family of families) {
      for (const port of PORTS) if (first <= port && port <= last) out.push(`${from} ${to} ${family} ${protocol} ${port}`);
    }
  }
  return out.sort();
}

function bruteForce(before: RandomWorld, after: RandomWorld, asked: Flow): string[] {
  const isAsked = (flow: Flow): boolean =>
    flow.from.pod?.key === asked.from.pod?.key &&
    flow.to.pod?.key === asked.to.pod?.key &&
    flow.protocol === asked.protocol &&
    flow.port === asked.port;
  const isNew = (flow: Flow): boolean =>
    !byReference(before.objects, before.cluster, flow) && byReference(after.objects, after.cluster, flow);
  const found = allFlows([...before.cluster.pods.values()]).filter((flow) => !isAsked(flow) && isNew(flow));
  return found.map(({ from, to, protocol, port }) => `${from.pod?.key} ${to.pod?.key} ${to.addr.family} ${protocol} ${port}`).sort();
}

function allFlows(pods: readonly PodFacts[]): Flow[] {
  const ends = pods.flatMap((own) => own.addrs.map((addr): FlowEnd => ({ pod: own, addr })));
  const pairs = ends.flatMap((from) => ends.filter((to) => to.addr.family === from.addr.family).map((to) => ({ from, to })));
  const ports = [TCP, UDP, SCTP].flatMap((protocol) => PORTS.map((port) => ({ protocol, port })));
  return pairs.flatMap((pair) => ports.map((port) => ({ ...pair, ...port })));
}

const A = pod("x/a", 1, { labels: { app: "web" } });
const B = pod("x/b", 2, { labels: { app: "db" } });
const C = pod("y/c", 3, { labels: { app: "web" } });
const CLUSTER: Cluster = {
  pods: new Map([A, B, C].map((own) => [own.key, own])),
  namespaces: new Map([
    ["x", { "kubernetes.io/metadata.name": "x" }],
    ["y", { "kubernetes.io/metadata.name": "y", team: "shop" }],
  ]),
};

function end(own: PodFacts): FlowEnd {
  return { pod: own, addr: own.addrs[0] ?? assert.fail("no address") };
}

function tcp(from: PodFacts, to: PodFacts, port: number): Flow {
  return { from: end(from), to: end(to), protocol: TCP, port };
}

test("the entry that allows, by its place", () => {
  const spec = {
    podSelector: { matchLabels: { app: "db" } },
    ingress: [{ from: [{ podSelector: { matchLabels: { app: "no" } } }, { podSelector: {} }], ports: [{ port: 79 }, { port: 80 }] }],
  };
  const { ingress, egress } = judge(worldOf(CLUSTER, [policy("db", spec)]), tcp(A, B, 80));
  assert.deepEqual(ingress.decidedBy, {
    by: "rule",
    policy: { kind: "NetworkPolicy", key: "x/db" },
    rule: 0,
    peer: 1,
    port: 1,
    portPath: "spec.ingress[0].ports[1]",
    path: "spec.ingress[0].from[1]",
  });
  assert.deepEqual(ingress.isolatedBy[0]?.because, [{ term: "app=db", label: "app=db" }]);
  assert.deepEqual(egress.decidedBy, { by: "nothing isolates" });
});

test("near misses: the nearest first, with what each lacks and the smallest edit", () => {
  const db = policy("db", {
    ingress: [
      { from: [{ podSelector: { matchLabels: { app: "api" } } }], ports: [{ port: 80 }] },
      { from: [{ namespaceSelector: { matchLabels: { team: "pay" } } }], ports: [{ port: 81 }, { protocol: "UDP", port: 80 }] },
    ],
  });
  const { nearMisses } = judge(worldOf(CLUSTER, [db, policy("deny", {})]), tcp(A, B, 80)).ingress;
  assert.deepEqual(
    nearMisses.map(({ policy: { key }, path, fix, lacks }) => [key, path, fix?.text, lacks.map(({ text }) => text)]),
    [
      ["x/db", "spec.ingress[0]", "label pod x/a app=api", ["pod x/a has app=web, not app=api"]],
      [
        "x/db",
        "spec.ingress[1]",
        'add {"from":[{"podSelector":{"matchLabels":{"app":"web"}}}],"ports":[{"protocol":"TCP","port":80}]} to spec.ingress of x/db',
        ["namespace x has no team, not team=pay", "port 80/TCP is not 81/TCP"],
      ],
      [
        "x/deny",
        "spec.ingress",
        'add {"from":[{"podSelector":{"matchLabels":{"app":"web"}}}],"ports":[{"protocol":"TCP","port":80}]} to spec.ingress of x/deny',
        ["it has no ingress rule"],
      ],
    ],
  );
});

test("what a label would open besides", () => {
  const db = policy("db", {
    podSelector: { matchLabels: { app: "db" } },
    ingress: [{ from: [{ podSelector: { matchLabels: { app: "api" } } }], ports: [{ port: 80, endPort: 81 }] }],
  });
  const opens = openedBy(
    worldOf(CLUSTER, [db]),
    [{ kind: "label", object: "Pod", name: "x/a", set: { app: "api" }, remove: [] }],
    tcp(A, B, 80),
  );
  assert.deepEqual(opens, [{ from: "x/a", to: "x/b", families: [4, 6], protocol: TCP, first: 81, last: 81 }]);
});

test("an edit opens also what replicas, which no policy tells apart, say to each other", () => {
  const [one, two] = [pod("x/r1", 8, { labels: {} }), pod("x/r2", 9, { labels: {} })];
  const cluster: Cluster = { pods: new Map([one, two].map((own) => [own.key, own])), namespaces: new Map([["x", {}]]) };
  const insert: Edit = {
    kind: "insert",
    policy: { kind: "NetworkPolicy", key: "x/closed" },
    path: "spec.ingress[0]",
    value: { from: [{ podSelector: {} }], ports: [{ port: 80 }] },
  };
  const between = { families: [4, 6], protocol: TCP, first: 80, last: 80 };
  assert.deepEqual(openedBy(worldOf(cluster, [policy("closed", {})]), [insert]), [
    { from: "x/r1", to: "x/r2", ...between },
    { from: "x/r2", to: "x/r1", ...between },
  ]);
});

test("own node, itself, and what is not a pod are not judged", () => {
  const world = worldOf(CLUSTER, [policy("x/deny", { policyTypes: ["Ingress", "Egress"] })]);
  const node: FlowEnd = { addr: parseAddr("172.18.0.11"), isOwnNode: true };
  assert.deepEqual(judge(world, { from: node, to: end(A), protocol: TCP, port: 80 }).ingress.decidedBy, {
    by: "origin",
    because: "own node",
  });
  assert.deepEqual(judge(world, tcp(A, A, 80)).ingress.decidedBy, { by: "origin", because: "itself" });
  const host: FlowEnd = { addr: parseAddr("172.18.0.12"), pod: { ...C, isPeer: false } };
  const { allowed: isOpen, egress, ingress } = judge(world, { from: host, to: end(A), protocol: TCP, port: 80 });
  assert.deepEqual([isOpen, egress.decidedBy.by, ingress.decidedBy.by], [false, "not a pod", "default deny"]);
});

test("where engines differ, it is said", () => {
  const block = policy("block", { ingress: [{ from: [{ ipBlock: { cidr: "10.244.1.0/24" } }] }] });
  const notes = (objects: readonly Stored<NetworkPolicy>[], flow: Flow): string[] =>
    judge(worldOf(CLUSTER, objects), flow).notes.map(({ text }) => text);
  assert.match(notes([block], tcp(A, B, 80)).join(), /Calico, not in Cilium/);
  const both = policy("both", { ingress: [{ from: [{ ipBlock: { cidr: "10.244.1.0/24" } }, { podSelector: {} }] }] });
  assert.deepEqual(notes([both], tcp(A, B, 80)), []);
  const icmp: Flow = { from: end(A), to: end(B), protocol: 1 };
  assert.match(notes([block], icmp).join(), /ICMP is not defined/);
  assert.equal(judge(worldOf(CLUSTER, [policy("p", { ingress: [{ ports: [{ protocol: "TCP" }] }] })]), icmp).allowed, false);
  const strange = { ...A, key: "q/a", namespace: "q" };
  const all = policy("all", { ingress: [{ from: [{ namespaceSelector: {} }] }] });
  assert.match(notes([all], tcp(strange, B, 80)).join(), /not known/);
});

test("a named port that the destination has elsewhere", () => {
  const named = policy("named", {
    podSelector: { matchLabels: { app: "db" } },
    ingress: [{ ports: [{ port: "serve-81-udp", protocol: "UDP" }] }],
  });
  const [miss] = judge(worldOf(CLUSTER, [named]), { ...tcp(A, B, 53), protocol: UDP }).ingress.nearMisses;
  assert.deepEqual(
    miss?.lacks.map(({ text }) => text),
    ["port 53/UDP is not serve-81-udp/UDP: pod x/b has serve-81-udp at 81/UDP"],
  );
  assert.equal(miss.fix?.text, "add port 53/UDP to spec.ingress[0].ports of x/named");
  assert.ok(isAllowed(applyEdits(worldOf(CLUSTER, [named]), miss.fix.edits), { ...tcp(A, B, 53), protocol: UDP }));
});
