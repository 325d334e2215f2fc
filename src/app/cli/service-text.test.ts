import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Service } from "kubernetes-types/core/v1";
import type { ServiceReport } from "#proxy";
import { type Answer, formatService } from "./service-text.ts";

type Frontend = ServiceReport["frontends"][number];
type Backend = ServiceReport["backends"][number];
type Flow = ServiceReport["flows"][number];

const READY = { in: true, why: "ready" };
const CLUSTER_IP: Frontend = {
  kind: "ClusterIP",
  address: "10.96.0.1:80",
  protocol: "TCP",
  backends: ["10.244.1.2:8080"],
  whenEmpty: "reject",
};
const BACKEND: Backend = { servicePort: "http", id: "10.244.1.2:8080", node: "node-1", target: "web-x", state: "ready", cluster: READY };
const FLOW: Flow = { protocol: "TCP", client: "10.244.9.9:4000", frontend: "10.96.0.1:80", backend: "10.244.1.2:8080", timeoutSeconds: 30 };

function of(spec: Service["spec"] = {}, labels: Record<string, string> = {}): Service {
  return { metadata: { namespace: "shop", name: "web", labels }, spec: { clusterIP: "10.96.0.1", ...spec } };
}

function report(node: string, more: Partial<ServiceReport> = {}): ServiceReport {
  const said = { frontends: [CLUSTER_IP], backends: [BACKEND], affinities: [], flows: [], problems: [] };
  return { node, mode: "nftables", service: "shop/web", ...said, ...more };
}

function lines(service: Service, answers: readonly Answer[], wide = false): string[] {
  return formatService(service, answers, wide)
    .split("\n")
    .filter((line) => line !== "");
}

test("nodes that do the same are told of once, and their clients with the node", () => {
  const nodePort = (address: string): Frontend => ({ ...CLUSTER_IP, kind: "NodePort", address });
  const answers = [
    report("node-1", { frontends: [CLUSTER_IP, nodePort("172.18.0.11:30080"), nodePort("[fd00::11]:30080")], flows: [FLOW] }),
    report("node-2", { frontends: [CLUSTER_IP, nodePort("172.18.0.12:30080"), nodePort("[fd00::12]:30080")] }),
  ];
  assert.deepEqual(lines(of({ type: "NodePort" }), answers), [
    "Service shop/web  NodePort",
    "node-1, node-2  nftables",
    "  FRONTEND                  KIND        BACKENDS",
    "  10.96.0.1:80/TCP          ClusterIP   1",
    "  <node's IPv4>:30080/TCP   NodePort    1",
    "  <node's IPv6>:30080/TCP   NodePort    1",
    "  PORT   BACKEND           POD     NODE     STATE   USED",
    "  http   10.244.1.2:8080   web-x   node-1   ready   in  (ready)",
    "  ON       FLOW   CLIENT            CAME TO        IS WITH           FORGOTTEN IN",
    "  node-1   TCP    10.244.9.9:4000   10.96.0.1:80   10.244.1.2:8080   30 s",
  ]);
});

test("one that differs stands alone, with its own addresses; one that is silent comes last", () => {
  const away = { in: false, why: "on node-1" };
  const local = (verdict: Backend["cluster"]): Backend => ({ ...BACKEND, local: verdict });
  const port: Frontend = {
    ...CLUSTER_IP,
    kind: "NodePort",
    address: "172.18.0.12:30080",
    backends: [],
    inside: ["10.244.1.2:8080"],
    whenEmpty: "drop",
  };
  const answers = [
    { node: "node-0", error: "no answer within 5 s" },
    report("node-1", { backends: [local(READY)], healthCheck: { port: 32000, localEndpoints: 1 } }),
    report("node-2", { frontends: [port], backends: [local(away)] }),
  ];
  assert.deepEqual(lines(of({ type: "LoadBalancer", externalTrafficPolicy: "Local" }), answers), [
    "Service shop/web  LoadBalancer, externalTrafficPolicy Local",
    "node-1  nftables",
    "  FRONTEND           KIND        BACKENDS",
    "  10.96.0.1:80/TCP   ClusterIP   1",
    "  PORT   BACKEND           POD     NODE     STATE   POLICY CLUSTER   POLICY LOCAL",
    "  http   10.244.1.2:8080   web-x   node-1   ready   in  (ready)      in  (ready)",
    "  health check port 32000: 1 local endpoints",
    "node-2  nftables",
    "  FRONTEND                KIND       BACKENDS",
    "  172.18.0.12:30080/TCP   NodePort   none: dropped from outside, 1 from pods and the node",
    "  PORT   BACKEND           POD     NODE     STATE   POLICY CLUSTER   POLICY LOCAL",
    "  http   10.244.1.2:8080   web-x   node-1   ready   in  (ready)      out (on node-1)",
    "node-0  no answer within 5 s",
  ]);
});

describe("frontends", () => {
  const rows: readonly [string, Partial<Frontend>, string][] = [
    ["nobody behind", { backends: [] }, "none: refused"],
    ["another Service has it", { lostTo: "shop/older:http" }, "not programmed: shop/older:http has this address and port"],
    ["only some may", { sources: ["10.0.0.0/8", "192.0.2.0/24"] }, "1; only for 10.0.0.0/8, 192.0.2.0/24"],
    ["nobody may", { sources: [] }, "1; for nobody"],
  ];
  for (const [name, more, expected] of rows) {
    test(name, () => {
      const row = lines(of(), [report("node-1", { frontends: [{ ...CLUSTER_IP, ...more }] })])[3] ?? "";
      assert.equal(row, `  10.96.0.1:80/TCP   ClusterIP   ${expected}`);
    });
  }
});

describe("nothing to do", () => {
  const rows: readonly [string, Service, RegExp][] = [
    ["headless", of({ clusterIP: "None" }), /^ {2}nothing to do: headless, DNS answers/],
    ["ExternalName", of({ type: "ExternalName", externalName: "example.com" }), /DNS answers with the name example\.com$/],
    ["no ClusterIP yet", of({ clusterIP: "" }), /no ClusterIP yet/],
    ["another proxy's", of({}, { "service.kubernetes.io/service-proxy-name": "other" }), /left to another proxy: .* is "other"/],
  ];
  for (const [name, service, expected] of rows) {
    test(name, () => {
      const printed = lines(service, [report("node-1", { frontends: [] })]);
      assert.match(printed[2] ?? "", expected);
      assert.equal(printed[3], "  PORT   BACKEND           POD     NODE     STATE", "whether they are used is not said");
    });
  }
});

test("remembered clients, what was left out, and as many flows as fit", () => {
  const affinities = [{ client: "10.244.9.9", frontend: "10.96.0.1:80", backend: "10.244.1.2:8080", expiresMs: 59_700 }];
  const said = { affinities, flows: Array.from({ length: 12 }, () => FLOW), problems: ["spec.externalIPs[0] is no address"] };
  const service = of({ sessionAffinity: "ClientIP", sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } } });
  const printed = lines(service, [report("node-1", said)]);
  assert.equal(printed[0], "Service shop/web  ClusterIP, affinity ClientIP 60 s");
  assert.equal(printed[2], "  left out: spec.externalIPs[0] is no address");
  assert.ok(printed.includes("  10.244.9.9   10.96.0.1:80   10.244.1.2:8080   60 s"), printed.join("\n"));
  assert.equal(printed.at(-1), "  and 2 more (-o wide)");
  assert.equal(lines(service, [report("node-1", said)], true).filter((line) => line.startsWith("  TCP")).length, 12);
});
