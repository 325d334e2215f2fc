// What people are told of a Service: one row for each verdict that they may read.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Service } from "kubernetes-types/core/v1";
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import { parseAddr } from "#ip";
import type { ConntrackEntry } from "#linux";
import { TCP, UDP } from "#nft";
import { compileService } from "./compile.ts";
import { type InspectInput, inspectService, type ServiceReport } from "./inspect.ts";
import { endpoint, NODE, type PortSpec, service, slice } from "./testing.ts";
import type { ProxyNode } from "./types.ts";

const HTTP: readonly PortSpec[] = [{ name: "http", port: 80, targetPort: 8080 }];
const VIP = "10.96.0.1";

function inspect(of: Service, slices: readonly EndpointSlice[], more: Partial<InspectInput> = {}): ServiceReport {
  const node = more.node ?? NODE;
  const compiled = compileService({ service: of, slices, node });
  const holderOf: InspectInput["holderOf"] = (key) => compiled.frontends.find((frontend) => frontend.key === key);
  return inspectService({ node, mode: "nftables", service: of, slices, compiled, holderOf, affinities: [], entries: [], ...more });
}

/** `backend: in|out (why)`, for policy Cluster, and after `|` for Local. */
function verdicts({ backends }: ServiceReport): string[] {
  const say = ({ in: isIn, why }: { in: boolean; why: string }): string => `${isIn ? "in" : "out"} (${why})`;
  return backends.map(({ id, cluster, local }) => `${id}: ${say(cluster)}${local === undefined ? "" : ` | ${say(local)}`}`);
}

describe("backends", () => {
  const web = service("web", [VIP], HTTP);

  test("ready, not ready, terminating", () => {
    const report = inspect(web, [
      slice("web", ["10.244.1.2@a", "10.244.1.3@a!notready", "10.244.1.4@a!terminating", "10.244.1.5@a!dead"], HTTP),
    ]);
    assert.deepEqual(
      report.backends.map(({ state, node, servicePort }) => [servicePort, node, state].join()),
      ["http,a,ready", "http,a,not ready", "http,a,terminating, serving", "http,a,terminating"],
    );
    assert.deepEqual(verdicts(report), [
      "10.244.1.2:8080: in (ready)",
      "10.244.1.3:8080: out (not ready)",
      "10.244.1.4:8080: out (terminates; it would serve if no endpoint were ready)",
      "10.244.1.5:8080: out (terminates, and does not serve)",
    ]);
    assert.deepEqual(report.frontends[0]?.backends, ["10.244.1.2:8080"]);
  });

  test("those that terminate, when nobody is ready", () => {
    const report = inspect(web, [slice("web", ["10.244.1.3@a!notready", "10.244.1.4@a!terminating"], HTTP)]);
    assert.deepEqual(verdicts(report), [
      "10.244.1.3:8080: out (not ready)",
      "10.244.1.4:8080: in (terminates and still serves; no endpoint is ready)",
    ]);
  });

  test("nobody at all", () => {
    const report = inspect(web, []);
    assert.deepEqual([report.backends, report.frontends[0]?.backends, report.frontends[0]?.whenEmpty], [[], [], "reject"]);
  });

  test("the pod that one is", () => {
    const pod = { ...endpoint("10.244.1.2@a"), targetRef: { kind: "Pod", name: "web-x" } };
    const report = inspect(web, [{ ...slice("web", [], HTTP), endpoints: [pod, endpoint("10.244.1.3")] }]);
    assert.deepEqual(
      report.backends.map(({ target, node }) => [target, node]),
      [
        ["web-x", "a"],
        [undefined, undefined],
      ],
    );
  });

  describe("hints", () => {
    const meant = (address: string, zone: string): ReturnType<typeof endpoint> => ({
      ...endpoint(address),
      hints: { forZones: [{ name: zone }] },
    });
    const inZone = (zone: string): ProxyNode => ({ ...NODE, zone });
    const both = { ...slice("web", [], HTTP), endpoints: [meant("10.244.1.2@a", "x"), meant("10.244.1.3@b", "y")] };

    test("lead to those of the zone", () => {
      assert.deepEqual(verdicts(inspect(web, [both], { node: inZone("x") })), [
        "10.244.1.2:8080: in (ready, and meant for zone x)",
        "10.244.1.3:8080: out (meant for zone y, and this is node-1 in zone x)",
      ]);
    });

    test("do not count where nobody is meant for the zone, or one has none", () => {
      assert.deepEqual(verdicts(inspect(web, [both], { node: inZone("z") })), [
        "10.244.1.2:8080: in (ready; meant for zone x, which does not count here)",
        "10.244.1.3:8080: in (ready; meant for zone y, which does not count here)",
      ]);
      const some = { ...both, endpoints: [meant("10.244.1.2@a", "y"), endpoint("10.244.1.3@b")] };
      assert.deepEqual(verdicts(inspect(web, [some], { node: inZone("x") })), [
        "10.244.1.2:8080: in (ready; meant for zone y, which does not count here)",
        "10.244.1.3:8080: in (ready)",
      ]);
    });

    test("name a node", () => {
      const hinted = { ...slice("web", [], HTTP), endpoints: [endpoint("10.244.1.2@node-1"), endpoint("10.244.1.3@b")] };
      for (const [i, name] of ["node-1", "b"].entries()) Object.assign(hinted.endpoints[i] ?? {}, { hints: { forNodes: [{ name }] } });
      assert.deepEqual(verdicts(inspect(web, [hinted])), [
        "10.244.1.2:8080: in (ready, and meant for node node-1)",
        "10.244.1.3:8080: out (meant for node b, and this is node-1)",
      ]);
    });
  });

  test("policy Local has a verdict of its own", () => {
    const of = service("web", [VIP], [{ ...HTTP[0], port: 80, nodePort: 30080 }], { externalTrafficPolicy: "Local" });
    const endpoints = ["10.244.1.2@node-1", "10.244.1.3@node-1!terminating", "10.244.2.2@node-2", "10.244.2.3"];
    const report = inspect(of, [slice("web", endpoints, [{ ...HTTP[0], port: 8080, targetPort: 8080 }])]);
    assert.deepEqual(verdicts(report), [
      "10.244.1.2:8080: in (ready) | in (ready, on this node)",
      "10.244.1.3:8080: out (terminates; it would serve if no endpoint were ready) | out (terminates; it would serve if none of this node were ready)",
      "10.244.2.2:8080: in (ready) | out (on node-2)",
      "10.244.2.3:8080: in (ready) | out (on no known node)",
    ]);
    const nodePort = report.frontends.find(({ kind }) => kind === "NodePort");
    assert.deepEqual(nodePort?.backends, ["10.244.1.2:8080"]);
    assert.deepEqual(nodePort?.inside, ["10.244.1.2:8080", "10.244.2.2:8080", "10.244.2.3:8080"]);
  });

  test("of this node those that terminate, when none of them is ready", () => {
    const of = service("web", [VIP], HTTP, { internalTrafficPolicy: "Local" });
    const report = inspect(of, [slice("web", ["10.244.1.3@node-1!terminating", "10.244.2.2@node-2"], HTTP)]);
    assert.deepEqual(
      verdicts(report)[0],
      "10.244.1.3:8080: out (terminates; it would serve if no endpoint were ready) | in (terminates and still serves; none of this node is ready)",
    );
  });

  test("of a headless Service", () => {
    const report = inspect(service("web", ["None"], HTTP), [slice("web", ["10.244.1.2@a"], HTTP)]);
    assert.deepEqual([report.frontends, verdicts(report)], [[], ["10.244.1.2:8080: in (ready)"]]);
  });
});

describe("frontends", () => {
  test("one that another Service has says who", () => {
    const of = service("web", [VIP], HTTP, { externalIPs: ["192.0.2.1"] });
    const [clusterIp, external] = compileService({ service: of, slices: [], node: NODE }).frontends;
    assert.ok(clusterIp !== undefined && external !== undefined);
    const other = { ...external, service: "default/older:http" };
    const report = inspect(of, [], { holderOf: (key) => (key === external.key ? other : clusterIp) });
    assert.deepEqual(
      report.frontends.map(({ kind, address, protocol, lostTo }) => [kind, address, protocol, lostTo]),
      [
        ["ClusterIP", "10.96.0.1:80", "TCP", undefined],
        ["ExternalIP", "192.0.2.1:80", "TCP", "default/older:http"],
      ],
    );
  });

  test("who may use it, the health check, and what was left out", () => {
    const spec = {
      type: "LoadBalancer",
      externalTrafficPolicy: "Local",
      healthCheckNodePort: 32000,
      loadBalancerSourceRanges: ["10.0.0.0/8", "nonsense"],
    };
    const of = { ...service("web", [VIP], HTTP, spec), status: { loadBalancer: { ingress: [{ ip: "192.0.2.7" }] } } };
    const report = inspect(of, [slice("web", ["10.244.1.2@node-1", "10.244.2.2@node-2"], HTTP)]);
    assert.deepEqual(report.frontends.find(({ kind }) => kind === "LoadBalancer")?.sources, ["10.0.0.0/8"]);
    assert.deepEqual(report.healthCheck, { port: 32000, localEndpoints: 1 });
    assert.match(report.problems.join(), /nonsense/);
  });

  test("a dual-stack pod is one endpoint for the health check", () => {
    const spec = { type: "LoadBalancer", externalTrafficPolicy: "Local", healthCheckNodePort: 32000 };
    const ofPods = ["10.244.1.2@node-1", "fd00:10:244:1::2@node-1"].map((addr, i) => {
      const made = slice("web", [addr], HTTP, `${i}`);
      return { ...made, endpoints: made.endpoints.map((endpoint) => ({ ...endpoint, targetRef: { uid: "pod-1" } })) };
    });
    assert.deepEqual(inspect(service("web", [VIP], HTTP, spec), ofPods).healthCheck, { port: 32000, localEndpoints: 1 });
  });

  test("how long a client is remembered", () => {
    const of = service("web", [VIP], HTTP, { sessionAffinity: "ClientIP", sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } } });
    assert.equal(inspect(of, []).frontends[0]?.affinitySeconds, 60);
  });
});

function flow(dst: string, dstPort: number, protocol: number): ConntrackEntry {
  const [client, backend] = [parseAddr("10.244.9.9"), parseAddr("10.244.1.2")];
  return {
    original: { src: client, dst: parseAddr(dst), protocol, srcPort: 40_000, dstPort },
    reply: { src: backend, dst: client, protocol, srcPort: 8080, dstPort: 40_000 },
    id: 1,
    mark: 0,
    zone: 0,
    timeoutSeconds: 30,
    status: 0,
  };
}

describe("clients", () => {
  const web = service("web", [VIP], HTTP);
  const slices = [slice("web", ["10.244.1.2@a"], HTTP)];

  test("flows are those to the Service's own addresses, ports and protocols", () => {
    const entries = [flow(VIP, 80, TCP), flow(VIP, 80, UDP), flow(VIP, 81, TCP), flow("10.96.0.2", 80, TCP), flow("10.244.1.2", 8080, TCP)];
    assert.deepEqual(inspect(web, slices, { entries }).flows, [
      { protocol: "TCP", client: "10.244.9.9:40000", frontend: "10.96.0.1:80", backend: "10.244.1.2:8080", timeoutSeconds: 30 },
    ]);
  });

  test("of an address that another Service has there are none", () => {
    const holderOf: InspectInput["holderOf"] = () => undefined;
    assert.deepEqual(inspect(web, slices, { entries: [flow(VIP, 80, TCP)], holderOf }).flows, []);
  });

  test("affinities are those of its frontends", () => {
    const remembered = { client: parseAddr("10.244.9.9"), backend: "10.244.1.2:8080", expiresMs: 5000 };
    const affinities = [
      { ...remembered, frontend: "10.96.0.1 6 80" },
      { ...remembered, frontend: "10.96.0.2 6 80" },
    ];
    assert.deepEqual(inspect(web, slices, { affinities }).affinities, [
      { client: "10.244.9.9", frontend: "10.96.0.1:80", backend: "10.244.1.2:8080", expiresMs: 5000 },
    ]);
  });

  test("of IPv6, with brackets where a port follows", () => {
    const of = service("web", ["fd00:10:96::1"], HTTP);
    const affinities = [{ client: parseAddr("fd00::9"), frontend: "fd00:10:96::1 6 80", backend: "[fd00::2]:8080" }];
    const report = inspect(of, [slice("web", ["fd00::2@a"], HTTP)], { affinities });
    assert.deepEqual(report.affinities, [{ client: "fd00::9", frontend: "[fd00:10:96::1]:80", backend: "[fd00::2]:8080" }]);
    assert.equal(report.frontends[0]?.address, "[fd00:10:96::1]:80");
  });
});
