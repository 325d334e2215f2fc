import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { suite, test } from "node:test";
import fc from "fast-check";
import type { LabelSelector } from "kubernetes-types/meta/v1";
import type { NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec } from "kubernetes-types/networking/v1";
import { parseAddr } from "#ip";
import type { Stored } from "#kube";
import { type Cluster, type NetworkPolicy, type PodFacts, type Policy, parsePolicy } from "#netpol";
import { formatTable, SCTP, type Table, TCP, UDP } from "#nft";
import { pod, policy } from "../../core/netpol/testing/objects.ts";
import { allowed, type Packet } from "../../core/netpol/testing/reference.ts";
import { compile } from "./compile.ts";
import { passes } from "./testing/evaluate.ts";

const GOLDEN = new URL("policies.nft", import.meta.url);

/** The upstream suite's: three namespaces with three pods each. */
const PODS = ["x", "y", "z"].flatMap((namespace, i) => ["a", "b", "c"].map((name, j) => pod(`${namespace}/${name}`, 10 * (i + 1) + j)));
const NAMESPACES = new Map(["x", "y", "z"].map((ns) => [ns, { ns, "kubernetes.io/metadata.name": ns }]));

function clusterOf(pods: readonly PodFacts[] = PODS): Cluster {
  return { pods: new Map(pods.map((p) => [p.key, p])), namespaces: NAMESPACES };
}

function tableOf(objects: readonly Stored<NetworkPolicy>[], pods: readonly PodFacts[] = PODS): Table {
  const policies = new Map<string, Map<string, Policy>>();
  for (const object of objects) {
    const parsed = parsePolicy(object);
    policies.set(parsed.namespace, (policies.get(parsed.namespace) ?? new Map<string, Policy>()).set(parsed.key, parsed));
  }
  const subjects = pods.map((facts) => ({ addrs: facts.addrs, facts }));
  return compile({ subjects, policies, cluster: clusterOf(pods), known: new Map() }).table;
}

test("two policies and a default deny as nft text", () => {
  const text = formatTable(
    tableOf(
      [
        policy("x/deny", { policyTypes: ["Ingress", "Egress"] }),
        policy("x/web", {
          podSelector: { matchLabels: { pod: "a" } },
          ingress: [
            {
              from: [{ namespaceSelector: { matchLabels: { ns: "y" } }, podSelector: { matchLabels: { pod: "b" } } }],
              ports: [{ port: "serve-80-tcp" }, { port: 81, protocol: "UDP" }],
            },
            { from: [{ ipBlock: { cidr: "192.0.2.0/24", except: ["192.0.2.64/26"] } }, { ipBlock: { cidr: "2001:db8::/32" } }] },
          ],
          egress: [
            {
              ports: [{ port: 53, protocol: "UDP" }, { port: 1000, endPort: 2000 }, { port: 443 }],
            },
          ],
        }),
      ],
      PODS.filter(({ key }) => key !== "z/c"),
    ),
  );
  if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(GOLDEN, text);
  assert.equal(text, readFileSync(GOLDEN, "utf8"));
});

const selector = (labels: Record<string, string>): LabelSelector => ({ matchLabels: labels });
const at = (key: string): PodFacts => PODS.find((p) => p.key === key) ?? assert.fail(key);

/** Which of the nine pods reach x/a at port 80, TCP. */
function reach(spec: Partial<NetworkPolicySpec>, given: Partial<Packet> = {}): string {
  const objects = [policy("x/p", spec)];
  const table = tableOf(objects);
  const out = PODS.filter((from) => {
    const verdicts = [0, 1].map((family) => {
      const [src, dst] = [from.addrs[family], at("x/a").addrs[family]];
      assert.ok(src && dst);
      const packet = { src, dst, protocol: TCP, port: 80, ...given };
      assert.equal(passes(table, packet), allowed(objects, clusterOf(), packet), `${from.key}: both ways`);
      return passes(table, packet);
    });
    assert.equal(verdicts[0], verdicts[1], `${from.key}: both families`);
    return verdicts[0];
  });
  return out.map(({ key }) => key).join(" ");
}

const ALL = PODS.map(({ key }) => key).join(" ");
const SELF = "x/a";

suite("who reaches x/a", () => {
  const from = (...peers: NetworkPolicyPeer[]): Partial<NetworkPolicySpec> => ({ ingress: [{ from: peers }] });
  const ports = (...list: NetworkPolicyPort[]): Partial<NetworkPolicySpec> => ({ ingress: [{ ports: list }] });
  const cases: readonly (readonly [string, string, Partial<NetworkPolicySpec>, Partial<Packet>?])[] = [
    ["default deny", SELF, {}],
    ["an empty list of rules is as none", SELF, { ingress: [] }],
    ["an empty rule allows all", ALL, { ingress: [{}] }],
    ["empty lists in a rule are as none", ALL, { ingress: [{ from: [], ports: [] }] }],
    ["without policyTypes egress rules isolate both ways", SELF, { egress: [{}] }],
    ["an egress policy leaves ingress alone", "x/a y/a y/b y/c z/a z/b z/c", { policyTypes: ["Egress"] }],
    ["policyTypes has the last word over rules", SELF, { policyTypes: ["Ingress"], egress: [{}] }],
    ["the same type twice", SELF, { policyTypes: ["Ingress", "Ingress"] }],
    ["podSelector: own namespace", "x/a x/b", from({ podSelector: selector({ pod: "b" }) })],
    ["an empty podSelector: all of the own namespace", "x/a x/b x/c", from({ podSelector: {} })],
    ["an empty namespaceSelector: all pods", ALL, from({ namespaceSelector: {} })],
    ["namespaceSelector", "x/a y/a y/b y/c", from({ namespaceSelector: selector({ ns: "y" }) })],
    ["by the name of the namespace", "x/a z/a z/b z/c", from({ namespaceSelector: selector({ "kubernetes.io/metadata.name": "z" }) })],
    ["both in one peer: and", "x/a y/b", from({ namespaceSelector: selector({ ns: "y" }), podSelector: selector({ pod: "b" }) })],
    [
      "in two peers: or",
      "x/a x/b y/a y/b y/c",
      from({ namespaceSelector: selector({ ns: "y" }) }, { podSelector: selector({ pod: "b" }) }),
    ],
    ["NotIn", "x/a z/a z/b z/c", from({ namespaceSelector: { matchExpressions: [{ key: "ns", operator: "NotIn", values: ["x", "y"] }] } })],
    [
      "NotIn of a key that nobody has",
      ALL,
      from({ namespaceSelector: { matchExpressions: [{ key: "none", operator: "NotIn", values: ["x"] }] } }),
    ],
    ["a label with an empty value has to be there", SELF, from({ namespaceSelector: {}, podSelector: selector({ none: "" }) })],
    ["an empty peer matches nothing", SELF, from({})],
    [
      "a block with a pod's address",
      "x/a y/b",
      from({ ipBlock: { cidr: "10.244.1.21/32" } }, { ipBlock: { cidr: "fd00:10:244:1::15/128" } }),
    ],
    [
      "except is no deny",
      "x/a y/a y/b",
      from(
        { ipBlock: { cidr: "10.244.1.20/31", except: ["10.244.1.21/32"] } },
        { ipBlock: { cidr: "10.244.1.21/32" } },
        { ipBlock: { cidr: "fd00:10:244:1::14/127" } },
      ),
    ],
    ["a port", ALL, ports({ port: 80 })],
    ["another port", SELF, ports({ port: 81 })],
    ["a protocol alone: its every port", ALL, ports({ protocol: "TCP" })],
    ["UDP is not TCP", SELF, ports({ protocol: "UDP" })],
    ["SCTP is neither", SELF, ports({ protocol: "SCTP", port: 80 })],
    ["SCTP", ALL, ports({ protocol: "SCTP", port: 80 }), { protocol: SCTP }],
    ["not TCP is not UDP", SELF, ports({ port: 80 }), { protocol: UDP }],
    ["an endPort, its last", ALL, ports({ port: 70, endPort: 80 })],
    ["an endPort, one too few", SELF, ports({ port: 70, endPort: 79 })],
    ["an endPort that is the port", ALL, ports({ port: 80, endPort: 80 })],
    ["ports that overlap", ALL, ports({ port: 70, endPort: 80 }, { port: 75, endPort: 90 }, { port: 80 })],
    ["a named port", ALL, ports({ port: "serve-80-tcp" })],
    ["a named port of another number", SELF, ports({ port: "serve-81-tcp" })],
    ["a name with another protocol", SELF, ports({ port: "serve-80-tcp", protocol: "UDP" })],
    ["an unknown name", SELF, ports({ port: "nobody" })],
    [
      "one number of many, one name of many",
      "x/a x/b",
      {
        ingress: [{ from: [{ podSelector: selector({ pod: "b" }) }], ports: [{ port: 9 }, { port: "nobody" }, { port: "serve-80-tcp" }] }],
      },
    ],
    [
      "of two rules one is enough",
      "x/a x/b y/c",
      {
        ingress: [
          { from: [{ podSelector: selector({ pod: "b" }) }] },
          { from: [{ namespaceSelector: selector({ ns: "y" }), podSelector: selector({ pod: "c" }) }], ports: [{ port: 80 }] },
        ],
      },
    ],
    ["a policy for others", ALL, { podSelector: selector({ pod: "b" }) }],
    ["egress of the clients", "x/a x/c y/a y/b y/c z/a z/b z/c", { podSelector: selector({ pod: "b" }), policyTypes: ["Egress"] }],
    [
      "egress by named port of the destination",
      ALL,
      {
        podSelector: selector({ pod: "b" }),
        egress: [{ to: [{ podSelector: {} }], ports: [{ port: "serve-80-tcp" }] }],
        policyTypes: ["Egress"],
      },
    ],
    [
      "egress to another's named port",
      "x/a x/c y/a y/b y/c z/a z/b z/c",
      {
        podSelector: selector({ pod: "b" }),
        egress: [{ to: [{ podSelector: selector({ pod: "c" }) }], ports: [{ port: "serve-80-tcp" }] }],
        policyTypes: ["Egress"],
      },
    ],
  ];
  for (const [name, expected, spec, packet] of cases) {
    test(name, () => assert.equal(reach(spec, packet), expected));
  }
});

test("what selects pods never selects the addresses outside, and an empty from has them all", () => {
  const packet = { src: parseAddr("192.0.2.1"), dst: parseAddr("10.244.1.10"), protocol: TCP, port: 80 };
  assert.equal(passes(tableOf([policy("x/p", { ingress: [{ from: [{ namespaceSelector: {} }] }] })]), packet), false);
  assert.equal(passes(tableOf([policy("x/p", { ingress: [{}] })]), packet), true);
  assert.equal(passes(tableOf([policy("x/p", { ingress: [{ from: [{ ipBlock: { cidr: "::/0" } }] }] })]), packet), false);
  assert.equal(passes(tableOf([policy("x/p", { ingress: [{ from: [{ ipBlock: { cidr: "0.0.0.0/0" } }] }] })]), packet), true);
});

test("a pod that has ended is nobody's peer, though its address is still in its status", () => {
  const ended = pod("x/b", 11, { isPeer: false });
  const newcomer = pod("z/c", 11);
  const table = tableOf([policy("x/p", { ingress: [{ from: [{ podSelector: {} }] }] })], [at("x/a"), ended, newcomer]);
  assert.equal(passes(table, { src: parseAddr("10.244.1.11"), dst: parseAddr("10.244.1.10"), protocol: TCP, port: 80 }), false);
});

test("a name is each pod's own number", () => {
  const other = pod("x/b", 11, { ports: [{ name: "serve-80-tcp", protocol: TCP, port: 8080 }] });
  const pods = [at("x/a"), other, at("x/c")];
  const table = tableOf([policy("x/p", { ingress: [{ ports: [{ port: "serve-80-tcp" }] }] })], pods);
  const to = (text: string, port: number): boolean =>
    passes(table, { src: parseAddr("10.244.1.12"), dst: parseAddr(text), protocol: TCP, port });
  assert.deepEqual(
    [to("10.244.1.10", 80), to("10.244.1.10", 8080), to("10.244.1.11", 80), to("10.244.1.11", 8080)],
    [true, false, false, true],
  );
});

test("a pod of the node that the API does not know is closed", () => {
  const subject = { addrs: [parseAddr("10.244.1.99")], facts: undefined };
  const { table } = compile({ subjects: [subject], policies: new Map(), cluster: clusterOf(), known: new Map() });
  assert.equal(passes(table, { src: parseAddr("10.244.1.12"), dst: parseAddr("10.244.1.99"), protocol: TCP, port: 80 }), false);
});

test("names at their limits stay apart, and fit", () => {
  const long = "n".repeat(252);
  const text = formatTable(
    tableOf([
      policy(`x/${long}a`, { ingress: [{ ports: [{ port: "serve-80-tcp" }] }] }),
      policy(`x/${long}b`, { ingress: [{ ports: [{ port: "serve-81-tcp" }] }] }),
    ]),
  );
  assert.equal(new Set(text.match(/ingress-[0-9a-f]{16}-0-names4/g)).size, 2);
  for (const [, comment = ""] of text.matchAll(/comment "(.*)"/g)) assert.ok(comment.length < 128, comment);
});

test("one or two blocks and ports need no set, and more have one with all rules that mean the same", () => {
  const cidrs = (...list: readonly string[]): NetworkPolicyPeer[] => list.map((cidr) => ({ ipBlock: { cidr } }));
  const many = { from: cidrs("192.0.2.0/26", "192.0.2.128/26", "198.51.100.0/24"), ports: [{ port: 80 }, { port: 82 }, { port: 84 }] };
  const few = { from: cidrs("192.0.2.0/26", "192.0.2.128/26"), ports: [{ port: 80 }, { port: 82, endPort: 84 }] };
  const own = (objects: readonly Stored<NetworkPolicy>[]): string[] =>
    tableOf(objects).sets.flatMap(({ name }) => (/^(self|ingress|egress)[46]$/.test(name) ? [] : [name.replace(/-.*/, "")]));
  assert.deepEqual(own([policy("x/p", { ingress: [few] })]), []);
  assert.deepEqual(own([policy("x/p", { ingress: [many, few, many] }), policy("y/p", { ingress: [many], egress: [{ to: many.from }] })]), [
    "blocks4",
    "ports",
  ]);
});

const labelSelector: fc.Arbitrary<LabelSelector> = fc.oneof(
  fc.constant({}),
  fc.constantFrom("a", "b", "c").map((name) => selector({ pod: name })),
  fc
    .record({
      key: fc.constantFrom("pod", "none"),
      operator: fc.constantFrom("In", "NotIn", "Exists", "DoesNotExist"),
      values: fc.subarray(["a", "b", "c"], { minLength: 1 }),
    })
    .map(({ key, operator, values }) => ({ matchExpressions: [operator.endsWith("In") ? { key, operator, values } : { key, operator }] })),
);
const namespaceSelector: fc.Arbitrary<LabelSelector> = fc.oneof(
  fc.constant({}),
  fc.constantFrom("x", "y", "z").map((ns) => selector({ ns })),
);
const cidr = fc.tuple(fc.integer({ min: 0, max: 63 }), fc.integer({ min: 26, max: 32 })).map(([n, bits]) => `10.244.1.${n}/${bits}`);
const peer: fc.Arbitrary<NetworkPolicyPeer> = fc.oneof(
  labelSelector.map((podSelector) => ({ podSelector })),
  namespaceSelector.map((own) => ({ namespaceSelector: own })),
  fc.record({ podSelector: labelSelector, namespaceSelector }),
  fc.record({ cidr, except: fc.array(cidr, { maxLength: 3 }) }).map((ipBlock) => ({ ipBlock })),
);
const port: fc.Arbitrary<NetworkPolicyPort> = fc
  .record({
    protocol: fc.constantFrom(undefined, "TCP", "UDP", "SCTP"),
    port: fc.constantFrom(undefined, 80, 81, 70, "serve-80-tcp", "serve-81-udp", "nobody"),
    span: fc.constantFrom(undefined, 0, 5, 11),
  })
  .map(({ protocol, port: number, span }) => ({
    ...(protocol !== undefined && { protocol }),
    ...(number !== undefined && { port: number }),
    ...(typeof number === "number" && span !== undefined && { endPort: number + span }),
  }));
const peers = fc.option(fc.array(peer, { maxLength: 3 }), { nil: undefined });
const somePorts = fc.option(fc.array(port, { maxLength: 3 }), { nil: undefined });
const spec: fc.Arbitrary<NetworkPolicySpec> = fc
  .record({
    podSelector: labelSelector,
    policyTypes: fc.constantFrom(undefined, ["Ingress"], ["Egress"], ["Ingress", "Egress"]),
    ingress: fc.array(fc.record({ from: peers, ports: somePorts }), { maxLength: 2 }),
    egress: fc.array(fc.record({ to: peers, ports: somePorts }), { maxLength: 2 }),
  })
  .map((raw) => JSON.parse(JSON.stringify(raw)) as NetworkPolicySpec);
const packet: fc.Arbitrary<Packet> = fc
  .record({
    src: fc.integer({ min: 8, max: 40 }),
    dst: fc.integer({ min: 8, max: 40 }),
    six: fc.boolean(),
    protocol: fc.constantFrom(TCP, UDP, SCTP),
    port: fc.constantFrom(70, 75, 80, 81, 82, 443),
  })
  .map(({ src, dst, six, protocol, port: number }) => {
    const addr = (n: number): Packet["src"] => parseAddr(six ? `fd00:10:244:1::${n.toString(16)}` : `10.244.1.${n}`);
    return { src: addr(src), dst: addr(dst), protocol, port: number };
  });

test("any policies and packets: as the API's prose says", () => {
  const policies = fc.array(fc.tuple(fc.constantFrom("x", "y"), spec), { maxLength: 4 });
  fc.assert(
    fc.property(policies, fc.array(packet, { minLength: 20, maxLength: 40 }), (specs, packets) => {
      const objects = specs.map(([namespace, own], i) => policy(`${namespace}/p${i}`, own));
      const table = tableOf(objects);
      for (const one of packets) assert.equal(passes(table, one), allowed(objects, clusterOf(), one), JSON.stringify(one));
    }),
    { numRuns: 300 },
  );
});
