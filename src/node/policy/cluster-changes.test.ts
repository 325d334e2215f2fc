// Any changes, one after another, leave the kernel with what a fresh start would write.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseAddr } from "#ip";
import type { ClusterNetworkPolicyPeer } from "#kube";
import { FakeNft } from "#linux/fake";
import type { NodeFacts, PodFacts } from "#netpol";
import { formatElement, formatTable, type Table } from "#nft";
import { clusterPolicy, pod, policy } from "../../core/netpol/testing/objects.ts";
import { compile } from "./compile.ts";
import { diff, patchChanges } from "./diff.ts";
import { TABLE } from "./layout.ts";
import { PolicyState } from "./state.ts";
import type { LocalPod } from "./types.ts";

type Act = (state: PolicyState) => void;

/** What is to be the case, by what it is about: the last word counts. */
type Change = readonly [about: string, act: Act];

class Node {
  readonly state: PolicyState = new PolicyState("node-1");
  readonly #nft = new FakeNft();
  #table: Table | undefined;

  /** As start.ts does it. */
  sync(): void {
    const patches = this.state.known.takePatches();
    if (this.#table !== undefined && !this.state.isRestructured) {
      this.#nft.apply(patchChanges(this.#table, patches.values()));
      return;
    }
    const { table } = compile({ ...this.state.compileInput(), groups: this.state.groups });
    this.state.isRestructured = false;
    const { changes, after } = diff(this.#table, table, patches);
    this.#nft.apply(changes);
    this.#table = after;
  }

  /** Without what is only left over: chains that nothing leads to. */
  text(): string {
    const { sets, chains, ...table } = this.#nft.list(TABLE) ?? assert.fail("there is no table");
    const sorted = sets
      .map((set) => ({ ...set, elements: set.elements.toSorted((a, b) => (formatElement(set, a) < formatElement(set, b) ? -1 : 1)) }))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
    const used = chains.filter(({ rules, name }) => rules.length > 0 || /^(routed|untracked|unknown|postrouting)$/.test(name));
    return formatTable({ ...table, sets: sorted, chains: used.toSorted((a, b) => (a.name < b.name ? -1 : 1)) });
  }
}

const local = ({ key, uid, namespace, addrs }: PodFacts): LocalPod => ({
  containerId: uid,
  namespace,
  name: key.split("/")[1] ?? "",
  uid,
  addrs,
});

const namespaceName = fc.constantFrom("x", "y");
const label = fc.constantFrom("a", "b");

const podChange: fc.Arbitrary<Change> = fc
  .tuple(namespaceName, fc.integer({ min: 1, max: 6 }), label, fc.constantFrom("there", "ended", "gone"))
  .map(([namespace, n, app, life]) => {
    const nodeName = n <= 2 ? "node-1" : "node-2";
    const given = { labels: { app }, nodeName, isPeer: life !== "ended" };
    const facts = pod(`${namespace}/p${n}`, n + (namespace === "x" ? 0 : 10), given);
    return [
      facts.key,
      (state) => {
        if (life === "gone") {
          state.disconnect(facts.uid);
          state.removePod(facts.key);
          return;
        }
        state.setPod(facts);
        if (nodeName === "node-1") state.connect(local(facts));
      },
    ];
  });
const namespaceChange: fc.Arbitrary<Change> = fc
  .tuple(namespaceName, fc.option(label))
  .map(([name, team]) => [name, (state) => state.setNamespace(name, team === null ? undefined : { team })]);
const nodeChange: fc.Arbitrary<Change> = fc.tuple(fc.integer({ min: 1, max: 2 }), fc.option(label)).map(([n, role]) => {
  const name = `node-${n}`;
  const facts: NodeFacts = { name, labels: { role: role ?? "" }, addrs: [parseAddr(`172.18.0.1${n}`)] };
  return [name, (state) => state.setNode(name, role === null ? undefined : facts)];
});

const peer: fc.Arbitrary<ClusterNetworkPolicyPeer> = fc.oneof(
  fc.constantFrom<ClusterNetworkPolicyPeer>({ namespaces: {} }, { pods: { podSelector: {} } }),
  label.map((team) => ({ namespaces: { matchLabels: { team } } })),
  label.map((app) => ({ pods: { podSelector: { matchLabels: { app } } } })),
  fc.tuple(label, label).map(([app, team]) => ({
    pods: { podSelector: { matchLabels: { app } }, namespaceSelector: { matchLabels: { team } } },
  })),
);
const rules = fc.array(
  fc.record({
    action: fc.constantFrom("Accept", "Deny", "Pass"),
    peer: fc.oneof(
      peer,
      label.map((role) => ({ nodes: { matchLabels: { role } } })),
    ),
    named: fc.boolean(),
  }),
  { maxLength: 2 },
);
const tierChange: fc.Arbitrary<Change> = fc
  .tuple(fc.constantFrom("p", "q", "r"), fc.constantFrom("Admin", "Baseline", "gone"), fc.integer({ min: 0, max: 2 }), peer, rules)
  .map(([name, tier, priority, subject, own]) => [
    `policy ${name}`,
    (state) => {
      if (tier === "gone") {
        state.removeClusterPolicy(name);
        return;
      }
      const made = own.map(({ action, peer: one, named }) => {
        const peers = [named && "nodes" in one ? { namespaces: {} } : one];
        return { action, from: peers, to: peers, ...(named && { protocols: [{ destinationNamedPort: "serve-80-tcp" }] }) };
      });
      const ingress = made.filter(({ from }) => !from.some((one) => "nodes" in one));
      state.setClusterPolicy(clusterPolicy(name, { tier, priority, subject, ingress, egress: made }));
    },
  ]);
const networkChange: fc.Arbitrary<Change> = fc.tuple(namespaceName, fc.option(label)).map(([namespace, app]) => [
  `policy ${namespace}/n`,
  (state) => {
    const from = [{ podSelector: { matchLabels: { app: app ?? "" } }, namespaceSelector: {} }];
    if (app === null) state.removePolicy({ key: `${namespace}/n`, namespace });
    else state.setPolicy(policy(`${namespace}/n`, { ingress: [{ from }] }));
  },
]);
const change = fc.oneof(podChange, podChange, namespaceChange, nodeChange, tierChange, tierChange, networkChange);

test("any changes of tiers, pods, namespaces and nodes: as if it had always been so", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(change, fc.boolean()), { maxLength: 40 }), (steps) => {
      const node = new Node();
      for (const [[, act], isSynced] of steps) {
        act(node.state);
        if (isSynced) node.sync();
      }
      node.sync();
      const fresh = new Node();
      for (const act of new Map(steps.map(([one]) => one)).values()) act(fresh.state);
      fresh.sync();
      assert.equal(node.text(), fresh.text());
    }),
    { numRuns: 150 },
  );
});
