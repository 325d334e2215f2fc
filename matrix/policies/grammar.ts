// Policies made from the API's grammar: each form that a part may have, by name.
import type { LabelSelector } from "kubernetes-types/meta/v1";
import type {
  NetworkPolicyEgressRule,
  NetworkPolicyIngressRule,
  NetworkPolicyPeer,
  NetworkPolicyPort,
  NetworkPolicySpec,
} from "kubernetes-types/networking/v1";
import { placeOf } from "./network.ts";

export type Form<T> = readonly [name: string, value: T];

const labels = (matchLabels: Readonly<Record<string, string>>): LabelSelector => ({ matchLabels: { ...matchLabels } });
const where = (key: string, operator: string, ...values: readonly string[]): LabelSelector => ({
  matchExpressions: [{ key, operator, ...(values.length > 0 && { values: [...values] }) }],
});
const pods = (podSelector: LabelSelector): NetworkPolicyPeer => ({ podSelector });
const namespaces = (namespaceSelector: LabelSelector): NetworkPolicyPeer => ({ namespaceSelector });
const both = (namespaceSelector: LabelSelector, podSelector: LabelSelector): NetworkPolicyPeer => ({ namespaceSelector, podSelector });
const block = (cidr: string, ...except: readonly string[]): NetworkPolicyPeer => ({
  ipBlock: { cidr, ...(except.length > 0 && { except: [...except] }) },
});
const [yb, zc] = [placeOf("y/b").addrs, placeOf("z/c").addrs];

/** `from` or `to`; undefined: the field is absent. */
export const PEERS: readonly Form<NetworkPolicyPeer[] | undefined>[] = [
  ["no peers", undefined],
  ["peers []", []],
  ["podSelector {}", [pods({})]],
  ["podSelector pod=b", [pods(labels({ pod: "b" }))]],
  ["podSelector tier=''", [pods(labels({ tier: "" }))]],
  ["podSelector In", [pods(where("pod", "In", "a", "b"))]],
  ["podSelector NotIn, of a key that some lack", [pods(where("tier", "NotIn", "front"))]],
  ["podSelector Exists", [pods(where("tier", "Exists"))]],
  ["podSelector DoesNotExist", [pods(where("tier", "DoesNotExist"))]],
  ["podSelector of labels and expressions", [pods({ ...labels({ pod: "b" }), ...where("tier", "Exists") })]],
  ["namespaceSelector {}", [namespaces({})]],
  ["namespaceSelector ns=y", [namespaces(labels({ ns: "y" }))]],
  ["namespaceSelector by its own name", [namespaces(labels({ "kubernetes.io/metadata.name": "z" }))]],
  ["namespaceSelector In", [namespaces(where("ns", "In", "x", "y"))]],
  ["namespaceSelector NotIn", [namespaces(where("ns", "NotIn", "x"))]],
  ["namespaceSelector Exists", [namespaces(where("team", "Exists"))]],
  ["namespaceSelector DoesNotExist", [namespaces(where("team", "DoesNotExist"))]],
  ["namespaceSelector and podSelector", [both(labels({ ns: "y" }), labels({ pod: "b" }))]],
  ["both with expressions", [both(where("ns", "NotIn", "x"), where("pod", "In", "a", "c"))]],
  ["two peers, or", [namespaces(labels({ ns: "y" })), pods(labels({ pod: "b" }))]],
  ["ipBlock of a pod", [block(`${yb[4]}/32`), block(`${yb[6]}/128`)]],
  ["ipBlock with except", [block("10.244.0.0/16", `${zc[4]}/32`, "10.244.2.0/25"), block("fd00:10:244::/56", `${zc[6]}/128`)]],
  ["ipBlock 0.0.0.0/0", [block("0.0.0.0/0")]],
  ["ipBlock ::/0", [block("::/0")]],
  ["ipBlock or selector", [block(`${yb[4]}/32`), pods(labels({ pod: "c" }))]],
  ["ipBlock excepts what another has", [block("0.0.0.0/0", `${yb[4]}/32`), block(`${yb[4]}/31`)]],
];

export const PORT_FORMS: readonly Form<NetworkPolicyPort[] | undefined>[] = [
  ["no ports", undefined],
  ["ports []", []],
  ["number", [{ port: 80 }]],
  ["number of UDP", [{ protocol: "UDP", port: 81 }]],
  ["number of SCTP", [{ protocol: "SCTP", port: 80 }]],
  ["name", [{ port: "serve-81-tcp" }]],
  ["name of another number each", [{ port: "web" }, { protocol: "UDP", port: "ask" }]],
  ["name of the wrong protocol", [{ protocol: "UDP", port: "serve-80-tcp" }]],
  ["unknown name", [{ port: "nobody" }]],
  ["endPort", [{ port: 80, endPort: 81 }]],
  ["endPort, a range beside", [{ protocol: "UDP", port: 81, endPort: 90 }]],
  ["protocol only", [{ protocol: "UDP" }]],
  ["the Service's port", [{ port: 8080 }, { protocol: "UDP", port: 8080 }]],
  ["several", [{ port: 81 }, { protocol: "UDP", port: "serve-80-udp" }, { protocol: "SCTP" }, { port: 70, endPort: 79 }]],
];

export type Direction = "ingress" | "egress" | "both";

export const DIRECTIONS: readonly Direction[] = ["ingress", "egress", "both"];

export const SUBJECTS: readonly Form<LabelSelector>[] = [
  ["all pods", {}],
  ["pod a", labels({ pod: "a" })],
  ["pods NotIn", where("pod", "NotIn", "c")],
];

export interface RuleForm {
  readonly peers?: NetworkPolicyPeer[] | undefined;
  readonly ports?: NetworkPolicyPort[] | undefined;
}

export function ingressRule({ peers, ports }: RuleForm): NetworkPolicyIngressRule {
  return { ...(peers !== undefined && { from: peers }), ...(ports !== undefined && { ports }) };
}

export function egressRule({ peers, ports }: RuleForm): NetworkPolicyEgressRule {
  return { ...(peers !== undefined && { to: peers }), ...(ports !== undefined && { ports }) };
}

/** `rules` undefined: the field is absent. */
export function specOf(subject: LabelSelector, direction: Direction, rules: readonly RuleForm[] | undefined): NetworkPolicySpec {
  return {
    podSelector: subject,
    policyTypes: direction === "both" ? ["Ingress", "Egress"] : [direction === "ingress" ? "Ingress" : "Egress"],
    ...(rules !== undefined && direction !== "egress" && { ingress: rules.map(ingressRule) }),
    ...(rules !== undefined && direction !== "ingress" && { egress: rules.map(egressRule) }),
  };
}

/** Rules by how many there are. */
export const RULES: readonly Form<readonly RuleForm[] | undefined>[] = [
  ["no rules", undefined],
  ["rules []", []],
  ["an empty rule", [{}]],
  [
    "two rules",
    [
      { peers: [pods(labels({ pod: "b" }))], ports: [{ port: 80 }] },
      { peers: [namespaces(labels({ ns: "z" }))], ports: [{ protocol: "UDP" }] },
    ],
  ],
  ["two rules, one of them empty", [{ peers: [pods(labels({ pod: "b" }))] }, {}]],
];

/** What `policyTypes` says, or leaves to the rules. */
export const TYPES: readonly Form<string[] | undefined>[] = [
  ["policyTypes absent", undefined],
  ["policyTypes []", []],
  ["Ingress", ["Ingress"]],
  ["Egress", ["Egress"]],
  ["Ingress, Egress", ["Ingress", "Egress"]],
  ["Egress, Ingress", ["Egress", "Ingress"]],
  ["Ingress twice", ["Ingress", "Ingress"]],
];
