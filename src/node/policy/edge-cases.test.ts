// Cases of docs/policy-behaviour.md that are decided before the kernel comes in.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "kubernetes-types/core/v1";
import { formatAddr, parseAddr } from "#ip";
import type { Stored } from "#kube";
import { type PodFacts, parsePolicy, podFacts } from "#netpol";
import { formatTable, type Table, TCP } from "#nft";
import { pod, policy } from "../../core/netpol/testing/objects.ts";
import { compile } from "./compile.ts";
import { PolicyState } from "./state.ts";
import { passes } from "./testing/evaluate.ts";

/** With what has changed since the last time, as the kernel would be told. */
function tableOf(state: PolicyState): Table {
  state.known.takePatches();
  return compile(state.compileInput()).table;
}

const far = (key: string, n: number, given: Partial<PodFacts> = {}): PodFacts => pod(key, n, { nodeName: "node-2", ...given });

function stateOf(local: PodFacts, ...others: readonly PodFacts[]): PolicyState {
  const state = new PolicyState("node-1");
  for (const namespace of ["x", "y", "ab", "a"]) state.setNamespace(namespace, { ns: namespace });
  for (const facts of [local, ...others]) state.setPod(facts);
  const [namespace = "", name = ""] = local.key.split("/");
  state.connect({ containerId: "c", namespace, name, uid: local.uid, addrs: local.addrs });
  return state;
}

const reaches = (state: PolicyState, from: string, to: string, port = 80): boolean =>
  passes(tableOf(state), { src: parseAddr(from), dst: parseAddr(to), protocol: TCP, port });
const [SERVER, PEER, STRANGER] = ["10.244.1.1", "10.244.1.2", "10.244.1.3"] as const;

test("a terminating pod is a peer until it has ended", () => {
  const raw: Stored<Pod> = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: "a",
      namespace: "x",
      uid: "u",
      resourceVersion: "1",
      creationTimestamp: "",
      deletionTimestamp: "2025-01-01T00:00:00Z",
    },
    spec: { containers: [] },
    status: { phase: "Running", podIPs: [{ ip: PEER }] },
  };
  assert.equal(podFacts(raw).isPeer, true);
  assert.equal(podFacts({ ...raw, status: { ...raw.status, phase: "Failed" } }).isPeer, false);
});

test("of two live peers with one address one may go, and the address stays allowed", () => {
  const state = stateOf(pod("x/server", 1), far("x/old", 2), far("x/new", 2, { uid: "other" }));
  state.setPolicy(policy("x/p", { podSelector: { matchLabels: { pod: "server" } }, ingress: [{ from: [{ podSelector: {} }] }] }));
  assert.equal(reaches(state, PEER, SERVER), true);
  state.removePod("x/old");
  assert.equal(reaches(state, PEER, SERVER), true);
  state.removePod("x/new");
  assert.equal(reaches(state, PEER, SERVER), false);
});

test("namespace and name do not run together: ab/c is not a/bc", () => {
  const state = stateOf(pod("ab/x", 1), pod("a/x", 2));
  state.connect({ containerId: "d", namespace: "a", name: "x", uid: "uid-2", addrs: [parseAddr(PEER)] });
  state.setPolicy(policy("ab/c", { ingress: [{ ports: [{ port: 80 }] }] }));
  state.setPolicy(policy("a/bc", { ingress: [{ ports: [{ port: 81 }] }] }));
  assert.deepEqual([reaches(state, STRANGER, SERVER, 80), reaches(state, STRANGER, SERVER, 81)], [true, false]);
  assert.deepEqual([reaches(state, STRANGER, PEER, 80), reaches(state, STRANGER, PEER, 81)], [false, true]);
});

test("a policy that is deleted and made again under its name before anybody looks is the new one", () => {
  const state = stateOf(pod("x/server", 1), far("x/peer", 2));
  const subjects = { podSelector: { matchLabels: { pod: "server" } } };
  state.setPolicy(policy("x/p", { ...subjects, ingress: [{ from: [{ podSelector: { matchLabels: { pod: "peer" } } }] }] }));
  assert.equal(reaches(state, PEER, SERVER), true);
  state.removePolicy({ key: "x/p", namespace: "x" });
  state.setPolicy(policy("x/p", { ...subjects, ingress: [{ from: [{ podSelector: { matchLabels: { pod: "other" } } }] }] }));
  assert.equal(reaches(state, PEER, SERVER), false);
});

test("a pod that is made again under its name, with other labels, inherits nothing", () => {
  const state = stateOf(pod("x/server", 1), far("x/peer", 2));
  state.setPolicy(
    policy("x/p", {
      podSelector: { matchLabels: { pod: "server" } },
      ingress: [{ from: [{ podSelector: { matchLabels: { pod: "peer" } } }] }],
    }),
  );
  assert.equal(reaches(state, PEER, SERVER), true);
  state.setPod(far("x/peer", 3, { uid: "another", labels: { pod: "else" } }));
  assert.deepEqual([reaches(state, PEER, SERVER), reaches(state, STRANGER, SERVER)], [false, false]);
  // The same of a subject: as its own labels say, not as those before it.
  state.disconnect("c");
  const again = pod("x/server", 4, { uid: "second", labels: { pod: "free" } });
  state.setPod(again);
  state.connect({ containerId: "e", namespace: "x", name: "server", uid: "second", addrs: again.addrs });
  assert.equal(reaches(state, STRANGER, formatAddr(again.addrs[0] ?? assert.fail())), true);
});

test("an except takes from its own block only; a block of IPv4 written as IPv6 is no block of IPv4", () => {
  const state = stateOf(pod("x/server", 1));
  const blocks = (...list: { cidr: string; except?: string[] }[]): void =>
    void state.setPolicy(policy("x/p", { ingress: [{ from: list.map((ipBlock) => ({ ipBlock })) }] }));
  blocks({ cidr: "10.0.0.0/8", except: ["10.244.1.0/24"] });
  assert.equal(reaches(state, PEER, SERVER), false);
  blocks({ cidr: "10.0.0.0/8", except: ["10.244.1.0/24"] }, { cidr: "10.244.1.2/32" });
  assert.deepEqual([reaches(state, PEER, SERVER), reaches(state, STRANGER, SERVER)], [true, false]);
  blocks({ cidr: "::ffff:10.0.0.0/104" });
  assert.equal(reaches(state, PEER, SERVER), false);
});

test("blocks that nest, touch and overlap, and ports that do, are disjoint in the kernel", () => {
  const cidrs = ["10.0.0.0/8", "10.1.0.0/16", "11.0.0.0/8", "10.1.2.3/32", "0.0.0.0/5"];
  const { rules } = parsePolicy(
    policy("x/p", {
      ingress: [{ from: cidrs.map((cidr) => ({ ipBlock: { cidr } })), ports: [{ port: 1, endPort: 9 }, { port: 5 }, { port: 10 }] }],
    }),
  );
  assert.deepEqual(
    rules[0]?.peers?.blocks?.[4].map(({ first, last }) =>
      [first, last].map((one) => (typeof one === "object" && "family" in one ? formatAddr(one) : one)),
    ),
    [
      ["0.0.0.0", "7.255.255.255"],
      ["10.0.0.0", "11.255.255.255"],
    ],
  );
  const state = stateOf(pod("x/server", 1));
  state.setPolicy(policy("x/p", { ingress: [{ ports: [{ port: 1, endPort: 9 }, { port: 5 }, { port: 10 }] }] }));
  assert.match(formatTable(tableOf(state)), /meta l4proto tcp ct reply proto-src 1-10 return/);
});
