// What Services promise, feature by feature: what is given, who asks what, and what the API's documentation says they get. Written
// from that documentation, not from the code that it judges.
import type { ServiceSpec } from "kubernetes-types/core/v1";
import type { Endpoint } from "kubernetes-types/discovery/v1";
import type { Family } from "#ip";
import { addrOf, type Name, nodeOf, SECOND_ADDR } from "./topology.ts";

/** Who asks: a pod on the first endpoint's node, a pod on another node, that node itself, the first endpoint itself, somebody outside. */
export type Source = "pod here" | "pod there" | "node" | "endpoint" | "outside";

export const SOURCES: Readonly<Record<Source, Name>> = {
  "pod here": "a2",
  "pod there": "b2",
  node: "node-1",
  endpoint: "a1",
  outside: "outside",
};

export interface Expected {
  /** Who may answer, and all of whom do in time, as `NAME:PORT`; or what is heard. */
  readonly answers: readonly string[] | "refused" | "silence";
  /** Which address the one who answers sees; absent: either. */
  readonly client?: "own" | "other";
  /** One client hears the same one again and again. */
  readonly sticky?: boolean;
}

type Expectations = Readonly<Partial<Record<Source, Expected>>>;

export interface Ask {
  readonly what: string;
  readonly to: (at: Place) => readonly [address: string, port: number];
  /** Sources that are not named do not apply. */
  readonly expect: Expectations;
}

/** Service number `n` in one family. */
export interface Place {
  readonly n: number;
  readonly family: Family;
}

export interface Given {
  readonly type?: "ClusterIP" | "NodePort" | "LoadBalancer" | "ExternalName";
  readonly spec?: (at: Place) => Partial<ServiceSpec>;
  readonly labels?: Readonly<Record<string, string>>;
  readonly ipMode?: "VIP" | "Proxy";
  /** By slice. */
  readonly endpoints: readonly (readonly GivenEndpoint[])[];
  /** An EndpointSlice of type FQDN beside them. */
  readonly fqdn?: boolean;
  readonly port?: number;
  readonly targetPort?: number;
  /** Added to the usual node port. */
  readonly nodePortOffset?: number;
}

/** `NAME[!state]`, with hints. */
export interface GivenEndpoint {
  readonly at: string;
  readonly zones?: readonly string[];
  readonly nodes?: readonly string[];
}

export interface Feature {
  readonly name: string;
  readonly given: Given;
  readonly asks: readonly Ask[];
  /** What becomes of it while the proxy runs, and what is heard then. */
  readonly afterwards?: { readonly given: Given; readonly asks: readonly Ask[] };
}

const EVERYWHERE: readonly Source[] = ["pod here", "pod there", "node", "endpoint", "outside"];

export function vip({ n, family }: Place): string {
  return family === 4 ? `10.96.0.${n}` : `fd00:10:96::${n.toString(16)}`;
}

export function external({ n, family }: Place): string {
  return family === 4 ? `192.0.2.${n}` : `2001:db8:5::${n.toString(16)}`;
}

function all(expected: Expected, of: readonly Source[] = EVERYWHERE): Expectations {
  return Object.fromEntries(of.map((source) => [source, expected]));
}

function each(names: readonly string[], port = 8080): readonly string[] {
  return names.map((name) => `${name}:${port}`);
}

const eps = (...names: readonly string[]): GivenEndpoint[] => names.map((at) => ({ at }));
const clusterIp = (expect: Expectations, port = 80, what = "ClusterIP"): Ask => ({ what, to: (at) => [vip(at), port], expect });
const nodePort = (node: Name, expect: Expectations, offset = 0): Ask => ({
  what: `NodePort at ${node}`,
  to: ({ n, family }) => [addrOf(node, family), 30_000 + n + offset],
  expect,
});
const balancer = (expect: Expectations): Ask => ({ what: "load balancer", to: (at) => [external(at), 80], expect });

const A_AND_B: Expected = { answers: each(["a1", "b1"]) };
/** Pods keep their address, but an endpoint that gets itself: it must see another one's. */
const POD_TO_CLUSTER_IP: Expectations = {
  ...all({ ...A_AND_B, client: "own" }, ["pod here", "pod there"]),
  ...all(A_AND_B, ["node", "endpoint"]),
  outside: { ...A_AND_B, client: "other" },
};
const THROUGH_NODE: Expectations = { ...all(A_AND_B), outside: { ...A_AND_B, client: "other" } };
const REFUSED: Expectations = all({ answers: "refused" });
const SILENCE: Expectations = all({ answers: "silence" });
const only = (...names: readonly string[]): Expected => ({ answers: each(names) });

/** A pod of another node that asks this one is outside of it: the answer of an endpoint elsewhere would not pass here. */
const fromElsewhere = (expected: Expected): Expectations => all(expected, ["pod there", "outside"]);

export const FEATURES: readonly Feature[] = [
  { name: "ClusterIP", given: { endpoints: [eps("a1", "b1")] }, asks: [clusterIp(POD_TO_CLUSTER_IP)] },
  {
    name: "an endpoint that asks itself",
    given: { endpoints: [eps("a1")] },
    asks: [clusterIp({ endpoint: { ...only("a1"), client: "other" } })],
  },
  {
    name: "another target port, by name",
    given: { endpoints: [eps("a1", "b1")], targetPort: 8081 },
    asks: [clusterIp(all({ answers: each(["a1", "b1"], 8081) }))],
  },
  {
    name: "a port that the Service does not have",
    given: { endpoints: [eps("a1")] },
    asks: [clusterIp(REFUSED, 82)],
  },
  {
    name: "a Service address that nobody has",
    given: { endpoints: [eps("a1")] },
    asks: [{ what: "10.96.7.7", to: ({ family }) => [family === 4 ? "10.96.7.7" : "fd00:10:96::777", 80], expect: SILENCE }],
  },
  {
    name: "no endpoints",
    given: { type: "NodePort", endpoints: [] },
    asks: [clusterIp(REFUSED), nodePort("node-1", REFUSED)],
  },
  {
    name: "headless",
    given: { spec: () => ({ clusterIP: "None", clusterIPs: ["None"] }), endpoints: [eps("a1")] },
    asks: [
      {
        what: "the endpoint",
        to: ({ family }) => [addrOf("a1", family), 8080],
        expect: { ...all({ ...only("a1"), client: "own" }), node: only("a1") },
      },
    ],
  },
  {
    name: "NodePort",
    given: { type: "NodePort", endpoints: [eps("a1", "b1")] },
    asks: [
      nodePort("node-1", THROUGH_NODE),
      nodePort("node-2", THROUGH_NODE),
      {
        what: "loopback",
        to: ({ n, family }) => [family === 4 ? "127.0.0.1" : "::1", 30_000 + n],
        expect: { node: { answers: "refused" } },
      },
      {
        what: "another address of the node",
        to: ({ n, family }) => [SECOND_ADDR[family], 30_000 + n],
        expect: { outside: { answers: "refused" }, "pod here": { answers: "refused" } },
      },
    ],
  },
  {
    name: "LoadBalancer",
    given: { type: "LoadBalancer", endpoints: [eps("a1", "b1")] },
    asks: [balancer(THROUGH_NODE), nodePort("node-1", THROUGH_NODE)],
  },
  {
    name: "LoadBalancer with ipMode Proxy",
    given: { type: "LoadBalancer", ipMode: "Proxy", endpoints: [eps("a1")] },
    asks: [
      {
        what: "load balancer",
        to: ({ family }) => [addrOf("balancer", family), 8080],
        expect: all(only("balancer")),
      },
    ],
  },
  {
    name: "externalIPs",
    given: { spec: (at) => ({ externalIPs: [external(at)] }), endpoints: [eps("a1", "b1")] },
    asks: [{ what: "external address", to: (at) => [external(at), 80], expect: THROUGH_NODE }],
  },
  {
    name: "no selector, an endpoint outside the cluster",
    given: { endpoints: [eps("outside")] },
    asks: [clusterIp(all(only("outside"), ["pod here", "pod there", "node", "endpoint"]))],
  },
  { name: "several slices, with repeats", given: { endpoints: [eps("a1"), eps("a1", "b1")] }, asks: [clusterIp(POD_TO_CLUSTER_IP)] },
  { name: "slices of type FQDN", given: { endpoints: [eps("b1")], fqdn: true }, asks: [clusterIp(all(only("b1")))] },
  { name: "endpoints that are not ready", given: { endpoints: [eps("a1!notready", "b1")] }, asks: [clusterIp(all(only("b1")))] },
  {
    name: "all endpoints terminate, one still serves",
    given: { type: "NodePort", endpoints: [eps("a1!terminating", "b1!dead")] },
    asks: [clusterIp(all(only("a1"))), nodePort("node-1", all(only("a1")))],
  },
  { name: "no endpoint serves", given: { endpoints: [eps("a1!notready", "b1!dead")] }, asks: [clusterIp(REFUSED)] },
  {
    name: "sessionAffinity ClientIP",
    given: { type: "NodePort", spec: () => ({ sessionAffinity: "ClientIP" }), endpoints: [eps("a1", "b1")] },
    asks: [clusterIp(all({ ...A_AND_B, sticky: true })), nodePort("node-1", all({ ...A_AND_B, sticky: true }))],
  },
  {
    name: "externalTrafficPolicy Local",
    given: { type: "LoadBalancer", spec: () => ({ externalTrafficPolicy: "Local" }), endpoints: [eps("a1", "b1")] },
    asks: [
      nodePort("node-1", { ...all(A_AND_B), ...fromElsewhere({ ...only("a1"), client: "own" }) }),
      nodePort("node-2", { outside: { ...only("b1"), client: "own" } }),
      balancer({ ...all(A_AND_B), outside: { ...only("a1"), client: "own" } }),
      clusterIp(POD_TO_CLUSTER_IP),
    ],
  },
  {
    name: "externalTrafficPolicy Local, endpoints elsewhere",
    given: { type: "LoadBalancer", spec: () => ({ externalTrafficPolicy: "Local" }), endpoints: [eps("b1")] },
    asks: [
      nodePort("node-1", { ...all(only("b1")), ...fromElsewhere({ answers: "silence" }) }),
      balancer({ ...all(only("b1")), outside: { answers: "silence" } }),
    ],
  },
  {
    name: "externalTrafficPolicy Local, the last one here terminates",
    given: { type: "NodePort", spec: () => ({ externalTrafficPolicy: "Local" }), endpoints: [eps("a1!terminating", "b1")] },
    asks: [nodePort("node-1", { ...all(only("b1")), ...fromElsewhere({ ...only("a1"), client: "own" }) })],
  },
  {
    name: "internalTrafficPolicy Local",
    given: { type: "NodePort", spec: () => ({ internalTrafficPolicy: "Local" }), endpoints: [eps("a1", "b1")] },
    asks: [clusterIp({ ...all(only("a1")), "pod there": only("b1") }), nodePort("node-1", THROUGH_NODE)],
  },
  {
    name: "internalTrafficPolicy Local, endpoints elsewhere",
    given: { spec: () => ({ internalTrafficPolicy: "Local" }), endpoints: [eps("b1")] },
    asks: [clusterIp({ ...SILENCE, "pod there": only("b1") })],
  },
  {
    name: "loadBalancerSourceRanges",
    given: {
      type: "LoadBalancer",
      // The other family's range, and blanks, change nothing.
      spec: ({ family }) => ({
        loadBalancerSourceRanges: [
          ` ${addrOf("outside", family)}/${family === 4 ? 32 : 128} `,
          family === 4 ? "2001:db8::/32" : "198.51.100.0/24",
        ],
      }),
      endpoints: [eps("a1", "b1")],
    },
    asks: [balancer({ ...all({ answers: "silence" }, ["pod here", "pod there"]), outside: A_AND_B }), nodePort("node-1", THROUGH_NODE)],
  },
  {
    name: "hints for zones",
    given: {
      endpoints: [
        [
          { at: "a1", zones: ["zone-a"] },
          { at: "b1", zones: ["zone-b"] },
        ],
      ],
    },
    asks: [clusterIp({ ...all(only("a1")), "pod there": only("b1") })],
  },
  {
    name: "hints for nodes",
    given: {
      endpoints: [
        [
          { at: "a1", zones: ["zone-a"], nodes: ["node-1"] },
          { at: "b1", zones: ["zone-b"], nodes: ["node-2"] },
        ],
      ],
    },
    asks: [clusterIp({ ...all(only("a1")), "pod there": only("b1") })],
  },
  {
    name: "an endpoint without a hint",
    given: { endpoints: [[{ at: "a1", zones: ["zone-a"] }, { at: "b1" }]] },
    asks: [clusterIp(POD_TO_CLUSTER_IP)],
  },
  {
    name: "another proxy's Service",
    given: { labels: { "service.kubernetes.io/service-proxy-name": "other" }, endpoints: [eps("a1")] },
    asks: [clusterIp(SILENCE)],
  },
  {
    name: "NodePort becomes ClusterIP",
    given: { type: "NodePort", endpoints: [eps("a1", "b1")] },
    asks: [nodePort("node-1", THROUGH_NODE)],
    afterwards: { given: { endpoints: [eps("a1", "b1")] }, asks: [nodePort("node-1", REFUSED), clusterIp(POD_TO_CLUSTER_IP)] },
  },
  {
    name: "NodePort becomes ExternalName",
    given: { type: "NodePort", endpoints: [eps("a1")] },
    asks: [nodePort("node-1", all(only("a1")))],
    afterwards: { given: { type: "ExternalName", endpoints: [eps("a1")] }, asks: [nodePort("node-1", REFUSED), clusterIp(SILENCE)] },
  },
  {
    name: "another node port",
    given: { type: "NodePort", endpoints: [eps("a1")] },
    asks: [nodePort("node-1", all(only("a1")))],
    afterwards: {
      given: { type: "NodePort", nodePortOffset: 500, endpoints: [eps("a1")] },
      asks: [nodePort("node-1", all(only("a1")), 500), nodePort("node-1", REFUSED)],
    },
  },
  {
    name: "another port",
    given: { endpoints: [eps("a1")] },
    asks: [clusterIp(all(only("a1")))],
    afterwards: { given: { port: 85, endpoints: [eps("a1")] }, asks: [clusterIp(all(only("a1")), 85), clusterIp(REFUSED)] },
  },
  {
    name: "endpoints come",
    given: { type: "NodePort", endpoints: [] },
    asks: [clusterIp(REFUSED)],
    afterwards: {
      given: { type: "NodePort", endpoints: [eps("a1", "b1")] },
      asks: [clusterIp(POD_TO_CLUSTER_IP), nodePort("node-1", THROUGH_NODE)],
    },
  },
  {
    name: "endpoints go",
    given: { type: "NodePort", endpoints: [eps("a1", "b1")] },
    asks: [clusterIp(POD_TO_CLUSTER_IP)],
    afterwards: { given: { type: "NodePort", endpoints: [[]] }, asks: [clusterIp(REFUSED), nodePort("node-1", REFUSED)] },
  },
  {
    name: "an endpoint is replaced",
    given: { type: "NodePort", endpoints: [eps("a1")] },
    asks: [nodePort("node-1", all(only("a1")))],
    afterwards: {
      given: { type: "NodePort", endpoints: [eps("b1")] },
      asks: [clusterIp(all(only("b1"))), nodePort("node-1", all(only("b1")))],
    },
  },
];

/** An Endpoint of the API. */
export function endpointOf({ at, zones, nodes }: GivenEndpoint, family: Family): Endpoint {
  const [name = "", state] = at.split("!");
  const node = nodeOf(name);
  return {
    addresses: [addrOf(name as Name, family)],
    conditions: {
      ready: state === undefined,
      serving: state === undefined || state === "terminating",
      terminating: state === "terminating" || state === "dead",
    },
    ...(node !== undefined && { nodeName: node }),
    ...((zones ?? nodes) !== undefined && {
      hints: { forZones: (zones ?? []).map((zone) => ({ name: zone })), ...(nodes && { forNodes: nodes.map((each) => ({ name: each })) }) },
    }),
  };
}
