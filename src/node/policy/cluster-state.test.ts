// What changes of ClusterNetworkPolicies, labels of namespaces and nodes make in the kernel: as much as they change.
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAddr } from "#ip";
import type { NodeFacts, PodFacts } from "#netpol";
import { type Change, formatElement, type Table } from "#nft";
import { clusterPolicy, pod } from "../../core/netpol/testing/objects.ts";
import { compile } from "./compile.ts";
import { diff } from "./diff.ts";
import { PolicyState } from "./state.ts";
import type { LocalPod } from "./types.ts";

class Bench {
  readonly state: PolicyState = new PolicyState("node-1");
  #table: Table | undefined;

  /** What the next transaction has, one step a line. */
  steps(): string[] {
    const patches = this.state.known.takePatches();
    const { table } = compile(this.state.compileInput());
    const { changes, after } = diff(this.#table, table, patches);
    this.#table = after;
    return changes.map(line);
  }
}

function line(change: Change): string {
  const elements = "elements" in change ? ` ${change.elements.map((element) => formatElement(change.set, element)).join(", ")}` : "";
  const where = "set" in change ? (typeof change.set === "string" ? change.set : change.set.name) : "chain" in change ? change.chain : "";
  return `${change.op} ${where}${elements}`
    .replaceAll(/[0-9a-f]{16}/g, "#")
    .replaceAll(/-[0-9a-f]{8}\b/g, "")
    .trim();
}

function local({ key, uid, namespace, addrs }: PodFacts): LocalPod {
  return { containerId: uid, namespace, name: key.split("/")[1] ?? "", uid, addrs };
}

const node = (n: number, role: string): NodeFacts => ({ name: `node-${n}`, labels: { role }, addrs: [parseAddr(`172.18.0.1${n}`)] });

const ALL = { namespaces: {} };

function bench(): Bench {
  const made = new Bench();
  made.state.setNamespace("x", { team: "a" });
  const server = pod("x/server", 1);
  made.state.setPod(server);
  made.state.connect(local(server));
  for (let n = 10; n < 30; n++) made.state.setPod(pod(`x/peer-${n}`, n, { nodeName: "node-2" }));
  made.steps();
  return made;
}

test("a policy that selects no pod of this node writes nothing, however many there are", () => {
  const one = bench();
  for (let i = 0; i < 50; i++) {
    const subject = { namespaces: { matchLabels: { team: `other-${i}` } } };
    one.state.setClusterPolicy(clusterPolicy(`p-${i}`, { subject, ingress: [{ action: "Deny", from: [ALL] }] }));
  }
  assert.deepEqual(one.steps(), []);
});

test("a peer more, a peer less: two elements, in however many rules it is one", () => {
  const one = bench();
  for (const name of ["p", "q"]) one.state.setClusterPolicy(clusterPolicy(name, { ingress: [{ action: "Deny", from: [ALL] }] }));
  one.steps();
  one.state.setPod(pod("x/new", 99, { nodeName: "node-2" }));
  assert.deepEqual(one.steps(), ["add elements pods4-# 10.244.1.99", "add elements pods6-# fd00:10:244:1::63"]);
  one.state.removePod("x/new");
  assert.deepEqual(one.steps(), ["delete elements pods4-# 10.244.1.99", "delete elements pods6-# fd00:10:244:1::63"]);
});

test("a label of the namespace leads its pods to the policy's chain, and back", () => {
  const one = bench();
  const subject = { namespaces: { matchLabels: { team: "b" } } };
  one.state.setClusterPolicy(clusterPolicy("p", { subject, ingress: [{ action: "Deny", from: [ALL] }] }));
  assert.deepEqual(one.steps(), []);
  one.state.setNamespace("x", { team: "b" });
  assert.ok(one.steps().includes("add elements ingress4 10.244.1.1 : jump ingress-admin-#"));
  one.state.setNamespace("x", { team: "a" });
  assert.ok(one.steps().includes("delete elements ingress4 10.244.1.1 : jump ingress-admin-#"));
});

test("nodes: only where a policy asks for them, and only what has changed", () => {
  const one = bench();
  one.state.setNode("node-1", node(1, "worker"));
  assert.deepEqual([one.steps(), one.state.asksForNodes], [[], false]);
  const egress = [{ action: "Deny", to: [{ nodes: { matchLabels: { role: "worker" } } }] }];
  one.state.setClusterPolicy(clusterPolicy("p", { egress }));
  assert.equal(one.state.asksForNodes, true);
  assert.ok(one.steps().includes("add elements egress-#-0-nodes4 172.18.0.11"));
  one.state.setNode("node-2", node(2, "worker"));
  assert.deepEqual(one.steps(), ["add elements egress-#-0-nodes4 172.18.0.12"]);
  assert.equal(one.state.setNode("node-2", node(2, "worker")), false);
  one.state.setNode("node-1", node(1, "router"));
  assert.deepEqual(one.steps(), ["delete elements egress-#-0-nodes4 172.18.0.11"]);
  one.state.removeClusterPolicy("p");
  assert.equal(one.state.asksForNodes, false);
});

test("another priority changes the chain, and no set", () => {
  const one = bench();
  one.state.setClusterPolicy(clusterPolicy("a", { priority: 1, ingress: [{ action: "Deny", from: [ALL] }] }));
  one.state.setClusterPolicy(clusterPolicy("b", { priority: 2, ingress: [{ action: "Accept", from: [ALL] }] }));
  one.steps();
  one.state.setClusterPolicy(clusterPolicy("b", { priority: 0, ingress: [{ action: "Accept", from: [ALL] }] }));
  const steps = one.steps();
  assert.ok(steps.includes("add chain ingress-admin-#"), steps.join("\n"));
  assert.ok(!steps.some((step) => / set /.test(step) || /pods/.test(step)), steps.join("\n"));
});
