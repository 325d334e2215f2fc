import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { Namespace, Pod, Service } from "kubernetes-types/core/v1";
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import { InputError } from "#base";
import { formatAddr, parseAddr } from "#ip";
import type { KubeObject, Stored } from "#kube";
import { type Answer, whatIf } from "./answer.ts";
import { applyChanges } from "./change.ts";
import type { LiveConnection } from "./connections.ts";
import { parseExpectations } from "./expectations.ts";
import { NO_OBJECTS, type Objects } from "./objects.ts";
import { answerJson, formatAnswer } from "./text.ts";
import { verify } from "./verify.ts";

const meta = (name: string, namespace?: string, labels: Record<string, string> = {}): Stored["metadata"] => ({
  name,
  uid: name,
  resourceVersion: "1",
  creationTimestamp: "",
  labels,
  ...(namespace !== undefined && { namespace }),
});

function pod(key: string, n: number, node: string): Stored<Pod> {
  const [namespace = "", name = ""] = key.split("/");
  const app = name.split("-")[0] ?? "";
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      ...meta(name, namespace, { app }),
      ownerReferences: [{ apiVersion: "apps/v1", kind: "ReplicaSet", name: `${app}-abc`, uid: "" }],
    },
    spec: {
      nodeName: node,
      containers: [{ name: "c", ports: [{ name: "main", containerPort: app === "db" ? 5432 : 8080 }], readinessProbe: {} }],
    },
    status: { phase: "Running", podIPs: [{ ip: `10.244.0.${n}` }, { ip: `fd00::${n}` }], conditions: [{ type: "Ready", status: "True" }] },
  };
}

function service(key: string, ip: string, ports: NonNullable<Service["spec"]>["ports"]): Stored<Service> {
  const [namespace = "", name = ""] = key.split("/");
  const spec = { clusterIP: ip, clusterIPs: [ip], selector: { app: name }, ...(ports !== undefined && { ports }) };
  return { apiVersion: "v1", kind: "Service", metadata: meta(name, namespace), spec };
}

function slice(key: string, port: number, ips: readonly string[], protocol = "TCP"): Stored<EndpointSlice> {
  const [namespace = "", name = ""] = key.split("/");
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: meta(`${name}-1`, namespace, { "kubernetes.io/service-name": name }),
    addressType: "IPv4",
    ports: [{ port, protocol }],
    endpoints: ips.map((ip) => ({ addresses: [ip], conditions: { ready: true } })),
  };
}

function mapOf<T extends Stored>(list: readonly T[]): Map<string, T> {
  return new Map(
    list.map((each) => [
      each.metadata.namespace === undefined ? each.metadata.name : `${each.metadata.namespace}/${each.metadata.name}`,
      each,
    ]),
  );
}

const namespaces: Stored<Namespace>[] = ["shop", "pay", "kube-system"].map((name) => ({
  apiVersion: "v1",
  kind: "Namespace",
  metadata: meta(name, undefined, { "kubernetes.io/metadata.name": name }),
}));

const LIVE: Objects = {
  ...NO_OBJECTS,
  namespaces: mapOf(namespaces),
  nodes: mapOf(
    [1, 2].map((n) => ({
      apiVersion: "v1",
      kind: "Node",
      metadata: meta(`node-${n}`),
      spec: { podCIDRs: ["10.244.0.0/24", "fd00::/64"] },
      status: {
        addresses: [
          { type: "InternalIP", address: `172.18.0.1${n}` },
          { type: "InternalIP", address: `fd00:18::1${n}` },
        ],
      },
    })),
  ),
  pods: mapOf([
    pod("shop/web-1", 1, "node-1"),
    pod("shop/web-2", 2, "node-2"),
    pod("shop/db-1", 3, "node-1"),
    pod("pay/job-1", 4, "node-2"),
    pod("kube-system/dns-1", 5, "node-1"),
  ]),
  services: mapOf([
    service("shop/db", "10.96.0.10", [{ port: 5432 }]),
    { ...service("kube-system/kube-dns", "10.96.0.2", [{ port: 53, protocol: "UDP" }]) },
  ]),
  slices: mapOf([slice("shop/db", 5432, ["10.244.0.3"]), slice("kube-system/kube-dns", 53, ["10.244.0.5"], "UDP")]),
};

function netpol(key: string, spec: object): KubeObject {
  const [namespace = "", name = ""] = key.split("/");
  return { apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", metadata: { name, namespace }, spec } as KubeObject;
}

const DB = netpol("shop/db", {
  podSelector: { matchLabels: { app: "db" } },
  ingress: [{ from: [{ podSelector: { matchLabels: { app: "web" } } }], ports: [{ port: "main" }] }],
});

function change(objects: readonly KubeObject[], from: Objects = LIVE, isDelete = false): { after: Objects; notes: readonly string[] } {
  const placed = objects.map((object, i) => ({ object, where: `change.yaml, document ${i + 1}` }));
  const { objects: after, notes } = applyChanges(from, { objects: placed, isDelete, namespace: "default" });
  return { after, notes };
}

function ask(objects: readonly KubeObject[], from: Objects = LIVE, connections: readonly LiveConnection[] = []): Answer {
  return whatIf({ before: from, ...change(objects, from), connections });
}

suite("what-if", () => {
  test("a new policy: who is denied, by what, through which Service, and which connections end", () => {
    const connections: LiveConnection[] = [
      { from: parseAddr("10.244.0.4"), to: parseAddr("10.244.0.3"), protocol: 6, port: 5432 },
      { from: parseAddr("10.244.0.1"), to: parseAddr("10.244.0.3"), protocol: 6, port: 5432 },
    ];
    const text = formatAnswer(ask([DB], LIVE, connections), true);
    assert.match(
      text,
      /pods shop app=web \(2\) -> pod shop\/db-1: TCP 0-5431, 5433-65535; UDP all; SCTP all; ICMP and other protocols IPv4\+IPv6: allowed -> denied, by NetworkPolicy shop\/db \(default deny ingress\)/,
    );
    assert.match(text, /everything outside -> pod shop\/db-1: everything IPv4\+IPv6: allowed -> denied/);
    assert.match(text, /pod pay\/job-1.* -> ClusterIP of Service shop\/db TCP 5432 IPv4: allowed -> denied/);
    assert.match(
      text,
      /Connections that are cut:\n {2}pay\/job-1 -> shop\/db-1 TCP 5432: by NetworkPolicy shop\/db \(default deny ingress\)\n\n/,
    );
    assert.match(text, /probes of 5 containers go on/);
    assert.doesNotMatch(text, /lose DNS/);
  });

  test("an example is a packet that policies judge: not a pod's own, nor between it and its node", () => {
    const nodeOf = new Map([...LIVE.pods.values()].map(({ spec, status }) => [status?.podIPs?.[0]?.ip, spec?.nodeName]));
    const only = (name: string): readonly KubeObject[] => [
      netpol(`${name}/closed`, { podSelector: {}, ingress: [{ from: [{ ipBlock: { cidr: "203.0.113.0/24" } }] }] }),
    ];
    const examples = ["shop", "pay"].flatMap((name) => ask(only(name)).lines.map(({ example }) => example));
    assert.ok(examples.length > 0);
    for (const { from, to } of examples) {
      const [a, b] = [formatAddr(from), formatAddr(to)];
      assert.notEqual(a, b);
      assert.notEqual(a.replace("172.18.0.1", "node-"), nodeOf.get(b));
    }
  });

  test("manifests that made a namespace and what is in it take both away, without a word of what is not there", () => {
    const namespace: KubeObject = { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } };
    const db = { apiVersion: "v1", kind: "Service", metadata: { name: "db", namespace: "shop" } };
    const { after, notes } = change([namespace, db, { ...db, kind: "Pod", metadata: { name: "db-1", namespace: "shop" } }], LIVE, true);
    assert.deepEqual(notes, []);
    assert.deepEqual([...after.pods.keys()], ["pay/job-1", "kube-system/dns-1"]);
  });

  test("the policy again changes nothing, and its removal undoes it", () => {
    const { after } = change([DB]);
    assert.deepEqual(ask([DB], after).lines, []);
    const undone = whatIf({ before: after, after: change([DB], after, true).after });
    assert.ok(undone.lines.length > 0);
    assert.ok(undone.lines.every(({ now }) => now === "allowed"));
  });

  test("pods that lose DNS are told", () => {
    const { dns } = ask([netpol("pay/closed", { podSelector: {}, policyTypes: ["Egress"] })]);
    assert.deepEqual(dns, { lost: ["pay/job-1"], gained: [] });
  });

  test("labels of a pod and of a namespace count", () => {
    const { after } = change([DB]);
    const relabel: KubeObject = { apiVersion: "v1", kind: "Pod", metadata: { name: "web-2", namespace: "shop", labels: { app: "spare" } } };
    const text = formatAnswer(ask([relabel], after), false);
    assert.match(text, /pod shop\/web-2 -> pod shop\/db-1: TCP 5432 IPv4\+IPv6: allowed -> denied, by NetworkPolicy shop\/db/);
    const team = netpol("shop/team", {
      podSelector: { matchLabels: { app: "db" } },
      ingress: [{ from: [{ namespaceSelector: { matchLabels: { team: "red" } } }] }],
    });
    const closed = change([DB, team]).after;
    const named: KubeObject = { apiVersion: "v1", kind: "Namespace", metadata: { name: "pay", labels: { team: "red" } } };
    const opened = formatAnswer(ask([named], closed), false);
    assert.match(
      opened,
      /pod pay\/job-1 -> pod shop\/db-1: everything IPv4\+IPv6: denied -> allowed, by NetworkPolicy shop\/team spec.ingress\[0\]/,
    );
  });

  test("pods of a workload that comes or grows count before they exist", () => {
    const { after } = change([DB]);
    const web = {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "web", namespace: "shop" },
      spec: { replicas: 3, template: { metadata: { labels: { app: "web" } }, spec: { containers: [] } } },
    } as KubeObject;
    const { lines } = ask([web], after);
    const made = lines.filter(({ from }) => from.some((atom) => atom.kind === "pods" && atom.pods.includes("shop/web-new-3")));
    assert.ok(
      made.some(
        ({ to, ports }) =>
          to.some((atom) => atom.kind === "pods" && atom.pods.includes("shop/db-1")) && ports.some(({ first }) => first === 5432),
      ),
    );
    const fewer = ask([{ ...web, spec: { replicas: 1 } } as KubeObject], after);
    assert.match(formatAnswer(fewer, false), /pod shop\/web-2.*allowed -> not there/);
  });

  test("a Service that comes leads to the pods that it selects", () => {
    const made = {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "web", namespace: "shop" },
      spec: { selector: { app: "web" }, ports: [{ port: 80, targetPort: "main" }] },
    } as KubeObject;
    const answer = ask([made]);
    const line = answer.services.find(({ way }) => way.service.startsWith("shop/web"));
    assert.deepEqual([line?.before, line?.after], [undefined, { reached: 2, endpoints: 2 }]);
    assert.match(answer.notes.join(), /no ClusterIP yet/);
  });

  test("an endpoint reaches itself through its Service, though pods like it do not", () => {
    const same = pod("shop/db-2", 6, "node-2");
    const live: Objects = { ...LIVE, pods: new Map([...LIVE.pods, ["shop/db-2", same]]) };
    const { services } = ask([netpol("shop/closed", { podSelector: { matchLabels: { app: "db" } } })], live);
    const denied = services.filter(({ way, after }) => way.service.startsWith("shop/db") && after?.reached === 0);
    const pods = denied.flatMap(({ from }) => from.flatMap((atom) => (atom.kind === "pods" ? atom.pods : [])));
    assert.ok(pods.includes("shop/db-2"));
    assert.ok(!pods.includes("shop/db-1"));
  });

  test("what is not about the network is said to be so", () => {
    assert.match(
      change([{ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "c", namespace: "shop" } }]).notes.join(),
      /change.yaml, document 1: ConfigMap "c" \(v1\) has no effect/,
    );
  });

  test("policies that do nothing are named", () => {
    const findings = ask([
      DB,
      netpol("shop/nobody", { podSelector: { matchLabels: { app: "nobody" } } }),
      netpol("shop/twice", {
        podSelector: { matchLabels: { app: "db" } },
        ingress: [
          { from: [{ podSelector: { matchLabels: { app: "web" } } }], ports: [{ port: 5432 }] },
          { from: [{ podSelector: { matchLabels: { app: "ghost" } } }] },
        ],
      }),
    ]).findings.map(({ kind, policy, path }) => `${kind}: ${policy.key} ${path}`);
    assert.deepEqual(findings, [
      "redundant: shop/db spec.ingress[0]",
      "selects nobody: shop/nobody spec",
      "redundant: shop/twice spec.ingress[0]",
      "matches nobody: shop/twice spec.ingress[1]",
    ]);
  });

  test("expectations: what breaks them is shown as a packet", () => {
    const { worlds } = ask([DB]);
    const input = { reach: worlds.after, partition: worlds.partition, sets: worlds.sets };
    const check = (...list: object[]): string[] => verify(parseExpectations({ expectations: list }), input).map(({ text }) => text);
    const db = { namespace: "shop", pods: "app=db" };
    assert.deepEqual(
      check({ never: { from: "outside", to: db } }, { "only-via": { to: db, via: { namespace: "shop", pods: "app=web" }, port: 5432 } }),
      [],
    );
    assert.deepEqual(check({ never: { from: { pods: "app=web" }, to: db, port: "5432/tcp" } }), [
      "shop/web-1 (10.244.0.1) -> shop/db-1 (10.244.0.3) TCP 5432 is allowed: NetworkPolicy shop/db spec.ingress[0]",
    ]);
    assert.deepEqual(check({ always: { from: { namespace: "pay" }, to: db, port: 5432 } }), [
      "pay/job-1 (10.244.0.4) -> shop/db-1 (10.244.0.3) TCP 5432 is denied: NetworkPolicy shop/db (default deny ingress)",
    ]);
    for (const kind of ["always", "never"]) {
      assert.deepEqual(check({ [kind]: { from: { namespace: "nowhere" }, to: db } }), ["nobody is {namespace:nowhere}"]);
      assert.deepEqual(check({ [kind]: { from: { namespace: "nowhere" }, to: db }, "may-be-nobody": true }), []);
    }
    assert.match(
      check({ never: { from: { outside: "203.0.113.0/24" }, to: { pods: "app=web" } } })[0] ?? "",
      /^outside \(203\.0\.113\.0\) -> shop\/web-1 .* is allowed/,
    );
  });

  test("expectations that make no sense are refused by the name of the field", () => {
    const refused: [object, RegExp][] = [
      [{ expectation: [] }, /^expectation: is not known/],
      [{ expectations: [] }, /^expectations: is empty/],
      [{ expectations: [{ never: { to: "outside" }, "may-be-nobody": 1 }] }, /^expectations\[0\]\.may-be-nobody: must be true or false/],
      [{ expectations: [{ never: { from: "outside" } }] }, /^expectations\[0\]\.never\.to: is missing/],
      [{ expectations: [{ never: { to: "outside", port: "99999" } }] }, /^expectations\[0\]\.never\.port: "99999" is not a port/],
      [{ expectations: [{ never: { to: { pods: "a in b" } } }] }, /^expectations\[0\]\.never\.to\.pods: /],
      [{ expectations: [{ sometimes: {} }] }, /^expectations\[0\]\.sometimes: is not known/],
      [
        { expectations: [{ always: { from: { outside: "10.0.0.0/33" }, to: "nodes" } }] },
        /^expectations\[0\]\.always\.from\.outside: "10\.0\.0\.0\/33" is not an address block/,
      ],
    ];
    for (const [value, message] of refused) assert.throws(() => parseExpectations(value), { name: InputError.name, message });
  });

  test("objects that cannot be are refused by file, document and field", () => {
    const replicas = {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "d", namespace: "shop" },
      spec: { replicas: -1 },
    } as KubeObject;
    assert.throws(() => change([replicas]), {
      name: InputError.name,
      message: "change.yaml, document 1: spec.replicas: -1 is not a number of pods",
    });
    const label = { apiVersion: "v1", kind: "Pod", metadata: { name: "p", namespace: "shop", labels: { a: 1 } } } as unknown as KubeObject;
    assert.throws(() => change([label]), { message: 'change.yaml, document 1: metadata.labels["a"]: 1 is not text' });
  });

  test("the answer is plain data too", () => {
    const json = JSON.parse(JSON.stringify(answerJson(ask([DB])))) as { changes: { before: string; after: string }[] };
    assert.ok(json.changes.length > 0);
    assert.ok(json.changes.every(({ before, after }) => before === "allowed" && after === "denied"));
  });
});
