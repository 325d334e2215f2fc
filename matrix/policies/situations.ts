// The situations of Kubernetes' own tests of network policies, under their titles (kubernetes/kubernetes test/e2e/network/netpol/network_policy.go),
// written from what those tests say: which policies, and who then reaches whom. What a pod says to itself is not looked at there, nor here.
import type {
  NetworkPolicyEgressRule,
  NetworkPolicyIngressRule,
  NetworkPolicyPeer,
  NetworkPolicyPort,
  NetworkPolicySpec,
} from "kubernetes-types/networking/v1";
import type { Family } from "#ip";

export type Protocol = "TCP" | "UDP" | "SCTP";

/** Addresses of a pod `namespace/name`. */
type AddrsOf = (pod: string) => Readonly<Partial<Record<Family, string>>>;

/** From whom, to whom (`x/a`, `x/*`, `*`), and whether; a later one counts more. Nobody is kept from anybody by none. */
type Line = readonly [from: string, to: string, reaches: boolean];

export interface Check {
  readonly protocol: Protocol;
  readonly port: number;
  readonly lines: readonly Line[];
}

export interface Step {
  /** All that there are, by `namespace/name`. */
  readonly policies: (addrs: AddrsOf) => Readonly<Record<string, NetworkPolicySpec>>;
  /** Added to those of a namespace, or of a pod `namespace/name`. */
  readonly labels?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly checks: readonly Check[];
}

export interface Situation {
  readonly title: string;
  readonly steps: readonly Step[];
}

export function reaches({ lines }: Check, from: string, to: string): boolean {
  const fits = (pattern: string, pod: string): boolean => pattern === "*" || pattern === pod || pattern === `${pod.split("/")[0]}/*`;
  return lines.findLast(([source, target]) => fits(source, from) && fits(target, to))?.[2] ?? true;
}

const check =
  (protocol: Protocol) =>
  (port: number, ...lines: readonly Line[]): Check => ({ protocol, port, lines });
const tcp = check("TCP");

const NAME = "kubernetes.io/metadata.name";
const on = (pod: string): Pick<NetworkPolicySpec, "podSelector"> => ({ podSelector: { matchLabels: { pod } } });
const ALL = { podSelector: {} };
const pod = (name: string): NetworkPolicyPeer => ({ podSelector: { matchLabels: { pod: name } } });
const inNamespace = (name: string): NetworkPolicyPeer => ({ namespaceSelector: { matchLabels: { [NAME]: name } } });
const namespaceBy = (operator: string, name: string): NetworkPolicyPeer => ({
  namespaceSelector: { matchExpressions: [{ key: NAME, operator, values: [name] }] },
});
const podBy = (...values: string[]): NetworkPolicyPeer => ({ podSelector: { matchExpressions: [{ key: "pod", operator: "In", values }] } });
const ingress = (...rules: NetworkPolicyIngressRule[]): Pick<NetworkPolicySpec, "ingress" | "policyTypes"> => ({
  ingress: rules,
  policyTypes: ["Ingress"],
});
const egress = (...rules: NetworkPolicyEgressRule[]): Pick<NetworkPolicySpec, "egress" | "policyTypes"> => ({
  egress: rules,
  policyTypes: ["Egress"],
});
const from = (...peers: NetworkPolicyPeer[]): NetworkPolicyIngressRule => ({ from: peers });
const to = (...peers: NetworkPolicyPeer[]): NetworkPolicyEgressRule => ({ to: peers });
const port = (number: number | string, protocol?: Protocol): NetworkPolicyPort => ({ port: number, ...(protocol && { protocol }) });

const DENY_IN: NetworkPolicySpec = { ...ALL, ...ingress() };
const DENY_ALL: NetworkPolicySpec = { ...ALL, ingress: [], egress: [], policyTypes: ["Ingress", "Egress"] };

/** A policy of namespace x, or some by their names; and what comes of them. */
function step(policies: NetworkPolicySpec | Readonly<Record<string, NetworkPolicySpec>>, ...checks: Check[]): Step {
  const named =
    "podSelector" in policies ? { "x/p": policies as NetworkPolicySpec } : (policies as Readonly<Record<string, NetworkPolicySpec>>);
  return { policies: () => named, checks };
}

const situation = (title: string, ...steps: Step[]): Situation => ({ title, steps });

const ONLY_FROM_Y: readonly Line[] = [
  ["x/*", "x/a", false],
  ["z/*", "x/a", false],
];
const NOBODY_TO_A: Line = ["*", "x/a", false];

function fromPods(): Situation[] {
  return [
    situation("should support a 'default-deny-ingress' policy", step(DENY_IN, tcp(80, ["*", "x/*", false]))),
    situation("should support a 'default-deny-all' policy", step(DENY_ALL, tcp(80, ["*", "x/*", false], ["x/*", "*", false]))),
    situation(
      "should enforce policy to allow traffic from pods within server namespace based on PodSelector",
      step({ ...on("a"), ...ingress(from(pod("b"))) }, tcp(80, NOBODY_TO_A, ["x/b", "x/a", true])),
    ),
    situation(
      "should enforce policy to allow ingress traffic for a target",
      step(
        { "x/deny": DENY_IN, "x/allow": { ...on("a"), ...ingress(from({ podSelector: {}, namespaceSelector: {} })) } },
        tcp(80, ["*", "x/*", false], ["*", "x/a", true]),
      ),
    ),
    situation(
      "should enforce policy to allow ingress traffic from pods in all namespaces",
      step({ ...on("a"), ...ingress(from({ namespaceSelector: {} })) }, tcp(80)),
    ),
    situation(
      "should enforce policy to allow traffic only from a different namespace, based on NamespaceSelector",
      step({ ...on("a"), ...ingress(from(inNamespace("y"))) }, tcp(80, ...ONLY_FROM_Y)),
    ),
    situation(
      "should enforce policy based on PodSelector with MatchExpressions",
      step({ ...on("a"), ...ingress(from(podBy("b"))) }, tcp(80, NOBODY_TO_A, ["x/b", "x/a", true])),
    ),
    situation(
      "should enforce policy based on NamespaceSelector with MatchExpressions",
      step({ ...on("a"), ...ingress(from(namespaceBy("In", "y"))) }, tcp(80, ...ONLY_FROM_Y)),
    ),
    situation(
      "should enforce policy based on PodSelector or NamespaceSelector",
      step({ ...on("a"), ...ingress(from(namespaceBy("NotIn", "x"), pod("b"))) }, tcp(80, ["x/c", "x/a", false])),
    ),
    situation(
      "should enforce policy based on PodSelector and NamespaceSelector",
      step(
        { ...on("a"), ...ingress(from({ ...namespaceBy("NotIn", "x"), ...pod("b") })) },
        tcp(80, NOBODY_TO_A, ["y/b", "x/a", true], ["z/b", "x/a", true]),
      ),
    ),
    situation(
      "should enforce policy based on Multiple PodSelectors and NamespaceSelectors",
      step(
        { ...on("a"), ...ingress(from({ ...namespaceBy("NotIn", "x"), ...podBy("b", "c") })) },
        tcp(80, ["x/*", "x/a", false], ["y/a", "x/a", false], ["z/a", "x/a", false]),
      ),
    ),
    situation(
      "should enforce policy based on any PodSelectors",
      step({ ...on("a"), ...ingress(from(pod("b"), pod("c"))) }, tcp(80, NOBODY_TO_A, ["x/b", "x/a", true], ["x/c", "x/a", true])),
    ),
    situation(
      "should enforce policy to allow traffic only from a pod in a different namespace based on PodSelector and NamespaceSelector",
      step({ ...on("a"), ...ingress(from({ ...inNamespace("y"), ...pod("a") })) }, tcp(80, NOBODY_TO_A, ["y/a", "x/a", true])),
    ),
  ];
}

function ports(): Situation[] {
  const fromY = (number: number | string): NetworkPolicySpec => ({
    ...on("a"),
    ...ingress({ ...from(inNamespace("y")), ports: [port(number, "TCP")] }),
  });
  return [
    situation("should enforce policy based on Ports", step(fromY(81), tcp(81, ...ONLY_FROM_Y))),
    situation(
      "should enforce multiple, stacked policies with overlapping podSelectors",
      step({ "x/p": fromY(81) }, tcp(81, ...ONLY_FROM_Y), tcp(80, NOBODY_TO_A)),
      step({ "x/p": fromY(81), "x/q": fromY(80) }, tcp(80, ...ONLY_FROM_Y)),
    ),
    situation("should support allow-all policy", step({ ...ALL, ...ingress({}) }, tcp(80), tcp(81))),
    situation(
      "should allow ingress access on one named port",
      step({ ...ALL, ...ingress({ ports: [port("serve-81-tcp")] }) }, tcp(81), tcp(80, ["*", "x/*", false])),
    ),
    situation(
      "should allow ingress access from namespace on one named port",
      step(fromY("serve-80-tcp"), tcp(80, ...ONLY_FROM_Y), tcp(81, NOBODY_TO_A)),
    ),
    situation(
      "should allow egress access on one named port",
      step({ ...ALL, ...egress({ ports: [port("serve-80-tcp")] }) }, tcp(80), tcp(81, ["x/*", "*", false])),
    ),
  ];
}

function changes(): Situation[] {
  const fromUpdated: NetworkPolicySpec = { ...on("a"), ...ingress(from({ namespaceSelector: { matchLabels: { ns2: "updated" } } })) };
  const fromUpdatedPod: NetworkPolicySpec = {
    ...on("a"),
    ...ingress(from({ podSelector: { matchLabels: { pod: "b", pod2: "updated" } } })),
  };
  const isolated: NetworkPolicySpec = { podSelector: { matchLabels: { target: "isolated" } }, ...ingress() };
  return [
    situation("should enforce updated policy", step({ ...ALL, ...ingress({}) }, tcp(81)), step(DENY_IN, tcp(81, ["*", "x/*", false]))),
    situation("should allow ingress access from updated namespace", step(fromUpdated, tcp(80, NOBODY_TO_A)), {
      ...step(fromUpdated, tcp(80, NOBODY_TO_A, ["y/*", "*", true])),
      labels: { y: { ns2: "updated" } },
    }),
    situation("should allow ingress access from updated pod", step(fromUpdatedPod, tcp(80, NOBODY_TO_A)), {
      ...step(fromUpdatedPod, tcp(80, NOBODY_TO_A, ["x/b", "x/a", true])),
      labels: { "x/b": { pod2: "updated" } },
    }),
    situation(
      "should deny ingress from pods on other namespaces",
      step({ ...ALL, ...ingress(from(ALL)) }, tcp(80, ["y/*", "x/*", false], ["z/*", "x/*", false])),
    ),
    situation("should deny ingress access to updated pod", step(isolated, tcp(80)), {
      ...step(isolated, tcp(80, NOBODY_TO_A)),
      labels: { "x/a": { target: "isolated" } },
    }),
  ];
}

function outgoing(): Situation[] {
  const fromA = from({ ...inNamespace("x"), ...pod("a") });
  return [
    situation("should deny egress from pods based on PodSelector", step({ ...on("a"), ...egress() }, tcp(80, ["x/a", "*", false]))),
    situation("should deny egress from all pods in a namespace", step({ ...ALL, ...egress() }, tcp(80, ["x/*", "*", false]))),
    situation(
      "should work with Ingress, Egress specified together",
      step(
        { ...on("a"), ingress: [from(pod("b"))], egress: [{ ports: [port(80)] }], policyTypes: ["Egress", "Ingress"] },
        tcp(80, NOBODY_TO_A, ["x/b", "x/a", true]),
        tcp(81, NOBODY_TO_A, ["x/a", "*", false], ["x/b", "x/a", true]),
      ),
    ),
    situation(
      "should support denying of egress traffic on the client side (even if the server explicitly allows this traffic)",
      step(
        {
          "x/out": { ...on("a"), ...egress(to({ ...inNamespace("y"), ...pod("a") })) },
          "y/a": { ...on("a"), ...ingress(fromA) },
          "y/b": { ...on("b"), ...ingress(fromA) },
        },
        tcp(80, ["x/a", "*", false], ["*", "y/a", false], ["x/a", "y/a", true], ["*", "y/b", false]),
      ),
    ),
    situation(
      "should enforce egress policy allowing traffic to a server in a different namespace based on PodSelector and NamespaceSelector",
      step({ ...on("a"), ...egress(to({ ...inNamespace("y"), ...pod("a") })) }, tcp(80, ["x/a", "*", false], ["x/a", "y/a", true])),
    ),
    situation(
      "should enforce ingress policy allowing any port traffic to a server on a specific protocol",
      step({ ...on("a"), ...ingress({ ports: [{ protocol: "TCP" }] }) }, tcp(80), check("UDP")(80, NOBODY_TO_A)),
    ),
    situation(
      "should enforce multiple ingress policies with ingress allow-all policy taking precedence",
      step({ "x/p": { ...ALL, ...ingress({ ports: [port(80)] }) } }, tcp(81, ["*", "x/*", false])),
      step({ "x/p": { ...ALL, ...ingress({ ports: [port(80)] }) }, "x/q": { ...ALL, ...ingress({}) } }, tcp(81)),
    ),
    situation(
      "should enforce multiple egress policies with egress allow-all policy taking precedence",
      step({ "x/p": { ...ALL, ...egress({ ports: [port(80)] }) } }, tcp(81, ["x/*", "*", false])),
      step({ "x/p": { ...ALL, ...egress({ ports: [port(80)] }) }, "x/q": { ...ALL, ...egress({}) } }, tcp(81)),
    ),
    situation(
      "should stop enforcing policies after they are deleted",
      step(DENY_ALL, tcp(80, ["x/*", "*", false], ["*", "x/*", false])),
      step({}, tcp(80)),
    ),
  ];
}

/** The pod's own address, as a block, in each family that it has; and the block of /4 around it without it. */
function blocks(addrs: AddrsOf, name: string): { readonly own: NetworkPolicyPeer[]; readonly around: NetworkPolicyPeer[] } {
  const { 4: four, 6: six } = addrs(name);
  const first = (four ?? "0").split(".").map(Number)[0] ?? 0;
  const pairs = [
    ...(four === undefined ? [] : [[`${four}/32`, `${first & 0xf0}.0.0.0/4`] as const]),
    ...(six === undefined ? [] : [[`${six}/128`, `${six.slice(0, 1)}000::/4`] as const]),
  ];
  return {
    own: pairs.map(([cidr]) => ({ ipBlock: { cidr } })),
    around: pairs.map(([own, cidr]) => ({ ipBlock: { cidr, except: [own] } })),
  };
}

function cidrs(): Situation[] {
  const egressOf =
    (name: string, which: "own" | "around"): Step["policies"] =>
    (addrs) => ({ "x/p": { ...on("a"), ...egress(to(...blocks(addrs, name)[which])) } });
  const onlyB: Step = { policies: egressOf("x/b", "own"), checks: [tcp(80, ["x/a", "*", false], ["x/a", "x/b", true])] };
  const notB: Step = { policies: egressOf("x/b", "around"), checks: [tcp(80, ["x/a", "x/b", false])] };
  return [
    situation("should allow egress access to server in CIDR block", {
      policies: egressOf("y/b", "own"),
      checks: [tcp(80, ["x/a", "*", false], ["x/a", "y/b", true])],
    }),
    situation("should enforce except clause while egress access to server in CIDR block", notB),
    situation("should ensure an IP overlapping both IPBlock.CIDR and IPBlock.Except is allowed", notB, onlyB),
    situation(
      "should enforce policies to check ingress and egress policies can be controlled independently based on PodSelector",
      step({ "x/out": { ...on("a"), ...egress({}) } }, tcp(80)),
      step({ "x/out": { ...on("a"), ...egress({}) }, "x/in": { ...on("a"), ...ingress() } }, tcp(80, NOBODY_TO_A)),
    ),
  ];
}

function protocols(): Situation[] {
  return [
    situation(
      "should not mistakenly treat 'protocol: SCTP' as 'protocol: TCP', even if the plugin doesn't support SCTP",
      step({ "x/deny": DENY_IN, "x/p": { ...on("a"), ...ingress({ ports: [port(81, "SCTP")] }) } }, tcp(81, ["*", "x/*", false])),
    ),
    situation(
      "should properly isolate pods that are selected by a policy allowing SCTP, even if the plugin doesn't support SCTP",
      step({ ...on("a"), ...ingress({ ports: [port(80, "SCTP")] }) }, tcp(81, NOBODY_TO_A)),
    ),
    situation(
      "should not allow access by TCP when a policy specifies only UDP",
      step({ ...on("a"), ...ingress({ ports: [port(81, "UDP")] }) }, tcp(81, NOBODY_TO_A)),
    ),
    situation(
      "should enforce policy to allow traffic based on NamespaceSelector with MatchLabels using default ns label",
      step({ ...on("a"), ...ingress(from(inNamespace("y"))) }, tcp(80, ...ONLY_FROM_Y)),
    ),
    situation(
      "should enforce policy based on NamespaceSelector with MatchExpressions using default ns label",
      step({ ...on("a"), ...egress(to(namespaceBy("NotIn", "y"))) }, tcp(80, ["x/a", "y/*", false])),
    ),
    ...(["UDP", "SCTP"] as const).flatMap((protocol) => [
      situation(`should support a 'default-deny-ingress' policy [${protocol}]`, step(DENY_IN, check(protocol)(80, ["*", "x/*", false]))),
      situation(
        `should enforce policy based on Ports [${protocol}]`,
        step({ ...on("a"), ...ingress({ ...from(inNamespace("y")), ports: [port(81, protocol)] }) }, check(protocol)(81, ...ONLY_FROM_Y)),
      ),
      situation(
        `should enforce policy to allow traffic only from a pod in a different namespace based on PodSelector and NamespaceSelector [${protocol}]`,
        step(
          { ...on("a"), ...ingress(from({ ...inNamespace("y"), ...pod("a") })) },
          check(protocol)(80, NOBODY_TO_A, ["y/a", "x/a", true]),
        ),
      ),
    ]),
  ];
}

/** In upstream's order. */
export const SITUATIONS: readonly Situation[] = [...fromPods(), ...ports(), ...changes(), ...outgoing(), ...cidrs(), ...protocols()];
