// What the API server says of NetworkPolicies that cannot be: field by field, as kube-apiserver 1.33 does.
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { NETWORK_POLICIES } from "../resources.ts";
import { decodeObject } from "../schema/index.ts";
import { validate } from "./index.ts";

function problemsOf(spec: Record<string, unknown>): string[] {
  const object = {
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { name: "p", namespace: "x" },
    spec: { podSelector: {}, ...spec },
  };
  const decoded = decodeObject(NETWORK_POLICIES, object, "Strict");
  assert.deepEqual([decoded.problems, decoded.unknown], [[], []]);
  return validate(NETWORK_POLICIES, decoded.object).map(({ field, message }) => `${field}: ${message}`);
}

const from = (...peers: object[]): Record<string, unknown> => ({ ingress: [{ from: peers }] });
const to = (...peers: object[]): Record<string, unknown> => ({ egress: [{ to: peers }] });
const ports = (...list: object[]): Record<string, unknown> => ({ ingress: [{ ports: list }] });
const block = (cidr: string, ...except: string[]): object => ({ ipBlock: { cidr, ...(except.length > 0 && { except }) } });

const NOT_A_CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

suite("refused, and where", () => {
  const cases: readonly (readonly [name: string, spec: Record<string, unknown>, ...problems: string[]])[] = [
    ["no address block", from(block("10.0.0.0")), `spec.ingress[0].from[0].ipBlock.cidr: Invalid value: "10.0.0.0": ${NOT_A_CIDR}`],
    ["too long a prefix", to(block("10.0.0.0/33")), `spec.egress[0].to[0].ipBlock.cidr: Invalid value: "10.0.0.0/33": ${NOT_A_CIDR}`],
    ["an empty block", from(block("")), "spec.ingress[0].from[0].ipBlock.cidr: Required value"],
    [
      "an exception that is none",
      from(block("10.0.0.0/8", "ten")),
      `spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "ten": ${NOT_A_CIDR}`,
    ],
    [
      "exceptions outside, as large, larger, of the other family; one inside",
      from(block("10.1.0.0/16", "10.2.0.0/24", "10.1.0.0/16", "10.0.0.0/8", "fd00::/64", "10.1.2.0/24")),
      ...["10.2.0.0/24", "10.1.0.0/16", "10.0.0.0/8", "fd00::/64"].map(
        (cidr, i) => `spec.ingress[0].from[0].ipBlock.except[${i}]: Invalid value: "${cidr}": must be a strict subset of \`cidr\``,
      ),
    ],
    ["an empty peer", from({}), "spec.ingress[0].from[0]: Required value: must specify a peer"],
    [
      "a block and a selector",
      to({ ...block("10.0.0.0/8"), podSelector: {} }),
      "spec.egress[0].to[0]: Forbidden: may not specify both ipBlock and another peer",
    ],
    [
      "endPort below port",
      ports({ port: 80, endPort: 79 }),
      "spec.ingress[0].ports[0].endPort: Invalid value: 79: must be greater than or equal to `port`",
    ],
    [
      "endPort beyond all",
      ports({ port: 80, endPort: 65_536 }),
      "spec.ingress[0].ports[0].endPort: Invalid value: 65536: must be between 1 and 65535, inclusive",
    ],
    [
      "endPort alone",
      ports({ endPort: 80 }),
      "spec.ingress[0].ports[0].endPort: Invalid value: 80: may not be specified when `port` is not specified",
    ],
    [
      "endPort of a name",
      ports({ port: "web", endPort: 80 }),
      "spec.ingress[0].ports[0].endPort: Invalid value: 80: may not be specified when `port` is non-numeric",
    ],
    ["port 0", ports({ port: 0 }), "spec.ingress[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"],
    [
      "a protocol that is none",
      ports({ protocol: "ICMP" }),
      'spec.ingress[0].ports[0].protocol: Unsupported value: "ICMP": supported values: "TCP", "UDP", "SCTP"',
    ],
    [
      "a protocol in small letters",
      ports({ protocol: "tcp" }),
      'spec.ingress[0].ports[0].protocol: Unsupported value: "tcp": supported values: "TCP", "UDP", "SCTP"',
    ],
    [
      "a policyType that is none",
      { policyTypes: ["Ingress", "ingress"] },
      'spec.policyTypes[1]: Unsupported value: "ingress": supported values: "Ingress", "Egress"',
    ],
    [
      "a selector without values",
      { podSelector: { matchExpressions: [{ key: "a", operator: "In" }] } },
      "spec.podSelector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
    ],
  ];
  for (const [name, spec, ...problems] of cases) test(name, () => assert.deepEqual(problemsOf(spec), problems));

  test("the name of a port that is none", () => {
    assert.match(
      problemsOf(ports({ port: "Web" })).join("\n"),
      /^spec\.ingress\[0\]\.ports\[0\]\.port: Invalid value: "Web": must contain only/,
    );
  });

  test("more than two policyTypes, of which nothing else is said", () => {
    const [first = "", ...more] = problemsOf({ policyTypes: ["Ingress", "Egress", "Both"] });
    assert.match(first, /^spec\.policyTypes: Invalid value: .*: may not specify more than two policyTypes$/);
    assert.deepEqual(more, []);
  });

  test("all that is wrong, not the first of it only", () => {
    const wrong = { ...from({}, block("x")), ...to(block("y")), policyTypes: ["Z"] };
    assert.equal(problemsOf(wrong).length, 4);
  });
});

suite("taken", () => {
  const cases: readonly (readonly [name: string, spec: Record<string, unknown>])[] = [
    ["a policyType twice", { policyTypes: ["Ingress", "Ingress"] }],
    ["bits beyond the prefix length", from(block("10.1.2.3/8", "10.9.9.9/16"), block("fd00::1/64"))],
    ["leading zeros, which are decimal", from(block("010.001.0.0/016", "010.001.010.0/24"), block("fd00::/064"))],
    ["everything of either family", from(block("0.0.0.0/0"), block("::/0", "fd00::/8"))],
    ["endPort that is port; every port of a protocol", ports({ port: 80, endPort: 80 }, { protocol: "SCTP" })],
    ["empty rules and empty lists", { ingress: [{}, { from: [], ports: [] }], egress: [] }],
  ];
  for (const [name, spec] of cases) test(name, () => assert.deepEqual(problemsOf(spec), []));
});
