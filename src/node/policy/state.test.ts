// What changes make in the kernel: as much as they change.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "kubernetes-types/core/v1";
import { formatAddr } from "#ip";
import type { Stored } from "#kube";
import { type PodFacts, podFacts, thinPod } from "#netpol";
import { type Change, formatElement, type Table } from "#nft";
import { pod, policy } from "../../core/netpol/testing/objects.ts";
import { compile } from "./compile.ts";
import { diff } from "./diff.ts";
import { PolicyState } from "./state.ts";
import type { LocalPod } from "./types.ts";

class Bench {
  readonly state: PolicyState = new PolicyState("node-1");
  #table: Table | undefined;

  /** What the next transaction has, one step a line. */
  steps(): string[] {
    const { table } = compile({ ...this.state.compileInput(), groups: this.state.groups });
    const { changes, after, tidy } = diff(this.#table, table, this.state.known.takePatches());
    this.#table = after;
    return [...changes.map(line), ...tidy.map((change) => `tidy: ${line(change)}`)];
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

const peer = (n: number, given: Partial<PodFacts> = {}): PodFacts =>
  pod(`x/peer-${n}`, n, { labels: { app: "peer" }, nodeName: "node-2", ...given });

function local(facts: PodFacts): LocalPod {
  return { containerId: facts.uid, namespace: facts.namespace, name: facts.key.split("/")[1] ?? "", uid: facts.uid, addrs: facts.addrs };
}

function bench(): Bench {
  const made = new Bench();
  made.state.setNamespace("x", {});
  const server = pod("x/server", 1);
  made.state.setPod(server);
  made.state.connect(local(server));
  for (let n = 10; n < 60; n++) made.state.setPod(peer(n));
  made.state.setPolicy(
    policy("x/p", {
      podSelector: { matchLabels: { pod: "server" } },
      ingress: [{ from: [{ podSelector: { matchLabels: { app: "peer" } } }] }],
    }),
  );
  made.steps();
  return made;
}

test("a peer more, a peer less: two elements", () => {
  const one = bench();
  one.state.setPod(peer(99));
  assert.deepEqual(one.steps(), ["add elements pods4-# 10.244.1.99", "add elements pods6-# fd00:10:244:1::63"]);
  one.state.removePod("x/peer-99");
  assert.deepEqual(one.steps(), ["delete elements pods4-# 10.244.1.99", "delete elements pods6-# fd00:10:244:1::63"]);
});

test("what does not matter to a rule writes nothing", () => {
  const one = bench();
  one.state.setPod(pod("y/other", 70));
  one.state.setPod(pod("x/other", 71, { labels: { app: "other" } }));
  one.state.setNamespace("y", { a: "b" });
  one.state.setPolicy(policy("y/q", { ingress: [{ from: [{ podSelector: {} }] }] }));
  assert.equal(one.state.setPod(peer(10)), false);
  assert.deepEqual(one.steps(), []);
});

test("a pod of this node: its own elements, before the API has its addresses", () => {
  const one = bench();
  const second = pod("x/second", 2, { labels: { pod: "server" } });
  one.state.setPod({ ...second, addrs: [] });
  one.state.connect(local(second));
  assert.deepEqual(one.steps(), [
    "add elements self4 10.244.1.2 . 10.244.1.2",
    "add elements ingress4 10.244.1.2 : jump ingress-#",
    "add elements self6 fd00:10:244:1::2 . fd00:10:244:1::2",
    "add elements ingress6 fd00:10:244:1::2 : jump ingress-#",
  ]);
  // Gone from the API, and still running: nothing changes until it is disconnected.
  one.state.removePod("x/second");
  assert.deepEqual(one.steps(), []);
  one.state.disconnect(second.uid);
  assert.equal(one.steps().length, 4);
});

test("a policy that changes gets a chain that says it; one that goes takes all of its own", () => {
  const one = bench();
  const from = ["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"].map((cidr) => ({ ipBlock: { cidr } }));
  const blocks = { podSelector: { matchLabels: { pod: "server" } }, ingress: [{ from }] };
  one.state.setPolicy(policy("x/p", blocks));
  assert.deepEqual(one.steps(), [
    "flush chain ingress-#",
    "delete elements ingress4 10.244.1.1 : jump ingress-#",
    "delete elements ingress6 fd00:10:244:1::1 : jump ingress-#",
    "delete set pods4-#",
    "delete set pods6-#",
    "add set blocks4-#",
    "add chain ingress-#",
    "add elements ingress4 10.244.1.1 : jump ingress-#",
    "add elements ingress6 fd00:10:244:1::1 : jump ingress-#",
    "add elements blocks4-# 192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24",
    "add rule ingress-#",
    "add rule ingress-#",
    "add rule ingress-#",
    "tidy: delete chain ingress-#",
  ]);
  one.state.removePolicy({ key: "x/p", namespace: "x" });
  const steps = one.steps();
  assert.ok(steps.includes("delete set blocks4-#") && steps.includes("tidy: delete chain ingress-#"), steps.join("\n"));
  // The chain that waits for its removal is used again.
  one.state.setPolicy(policy("x/p", blocks));
  assert.ok(!one.steps().some((step) => step.startsWith("add chain")));
});

test("a name with another uid is another pod: what runs keeps what it had", () => {
  const one = bench();
  one.state.setPod(pod("x/server", 1, { uid: "new", labels: { pod: "else" }, nodeName: "node-2", addrs: [] }));
  assert.deepEqual(
    one.state.subjects().map(({ addrs, facts }) => [addrs.map(formatAddr)[0], facts?.labels["pod"]]),
    [["10.244.1.1", "server"]],
  );
});

test("of a Pod only what matters is kept: names of ports, sidecars included, the first of each", () => {
  const raw: Stored<Pod> = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: "a",
      namespace: "x",
      uid: "u",
      resourceVersion: "7",
      creationTimestamp: "",
      labels: { l: "1" },
      annotations: { big: "text" },
    },
    spec: {
      nodeName: "n",
      containers: [
        { name: "c", image: "i", ports: [{ containerPort: 1 }, { name: "web", containerPort: 80 }, { name: "web", containerPort: 81 }] },
      ],
      initContainers: [
        { name: "once", ports: [{ name: "once", containerPort: 2 }] },
        {
          name: "sidecar",
          restartPolicy: "Always",
          ports: [
            { name: "side", containerPort: 3, protocol: "UDP" },
            { name: "web", containerPort: 4 },
          ],
        },
      ],
    },
    status: { phase: "Succeeded", podIPs: [{ ip: "10.244.1.3" }], message: "text" },
  };
  const facts = podFacts(thinPod(raw));
  assert.deepEqual(facts, podFacts(raw));
  assert.deepEqual(
    facts.ports.map(({ name, protocol, port }) => `${name} ${protocol} ${port}`),
    ["web 6 80", "side 17 3"],
  );
  assert.deepEqual([facts.isPeer, facts.addrs.map(formatAddr), facts.labels], [false, ["10.244.1.3"], { l: "1" }]);
  assert.equal(thinPod(raw).metadata.annotations, undefined);
  assert.equal(podFacts({ ...raw, spec: { containers: [], hostNetwork: true }, status: { phase: "Running" } }).isPeer, false);
});

test("what cannot be understood allows nothing, and is told of", () => {
  const state = new PolicyState("node-1");
  const odd = policy("x/p", {
    ingress: [{ from: [{ ipBlock: { cidr: "300.0.0.0/8" } }, {}], ports: [{ protocol: "ICMP" }, { port: 9, endPort: 1 }] }],
  });
  const { rules, problems } = state.setPolicy(odd);
  assert.equal(problems.length, 4);
  assert.deepEqual(rules[0]?.ports, { numbers: [], names: [] });
});
