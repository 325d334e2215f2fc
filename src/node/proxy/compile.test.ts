import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Service, ServiceSpec } from "kubernetes-types/core/v1";
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import { formatAddr, formatPrefix } from "#ip";
import { compileService } from "./compile.ts";
import { endpoint, NODE, type PortSpec, service, slice } from "./testing.ts";

const HTTP: readonly PortSpec[] = [{ name: "http", port: 80, targetPort: 8080 }];
const VIP = "10.96.0.1";

/** One line per frontend: `kind addr proto port -> backends [draining] whenEmpty`. */
function compile(of: Service, ...slices: readonly EndpointSlice[]): string[] {
  return compileService({ service: of, slices, node: NODE }).frontends.map((f) => {
    const draining = f.draining.length === 0 ? "" : ` draining ${f.draining.map(({ id }) => id).join(" ")}`;
    const backends = f.backends.map(({ id, local }) => (local ? `${id}*` : id)).join(" ");
    return `${f.kind} ${formatAddr(f.addr)} ${f.protocol} ${f.port} -> ${backends === "" ? f.whenEmpty : backends}${draining}`;
  });
}

describe("which Services are proxied", () => {
  const web = service("web", [VIP], HTTP);
  const cases: readonly [string, Service, number][] = [
    ["a ClusterIP", web, 1],
    ["headless", service("web", ["None"], HTTP), 0],
    ["not allocated yet", service("web", [""], HTTP), 0],
    ["ExternalName", service("web", [VIP], HTTP, { type: "ExternalName" }), 0],
    ["another proxy's", { ...web, metadata: { ...web.metadata, labels: { "service.kubernetes.io/service-proxy-name": "other" } } }, 0],
    [
      "another proxy's, whatever its name",
      { ...web, metadata: { ...web.metadata, labels: { "service.kubernetes.io/service-proxy-name": "" } } },
      0,
    ],
    ["headless by label", { ...web, metadata: { ...web.metadata, labels: { "service.kubernetes.io/headless": "" } } }, 0],
  ];
  for (const [name, of, count] of cases) test(name, () => assert.equal(compile(of).length, count));
});

describe("which endpoints get connections", () => {
  const cases: readonly [string, readonly string[], string][] = [
    ["none", [], "reject"],
    ["ready ones, in order", ["10.244.2.2@node-2", "10.244.1.2@node-1"], "10.244.1.2:8080* 10.244.2.2:8080"],
    ["unknown node may be this one", ["10.244.1.2"], "10.244.1.2:8080*"],
    ["not ready", ["10.244.1.2!notready"], "reject"],
    ["terminating ones drain", ["10.244.1.2@a", "10.244.1.3@a!terminating"], "10.244.1.2:8080 draining 10.244.1.3:8080"],
    ["terminating ones, when there are no others", ["10.244.1.2@a!terminating", "10.244.1.3@a!dead"], "10.244.1.2:8080"],
    ["dead ones never", ["10.244.1.3@a!dead"], "reject"],
    ["each once", ["10.244.1.2@a!notready", "10.244.1.2@a"], "10.244.1.2:8080"],
    ["each once, the other way round", ["10.244.1.2@a", "10.244.1.2@a!notready"], "10.244.1.2:8080"],
    ["of two with one address the one here", ["10.244.1.2@node-1", "10.244.1.2@a"], "10.244.1.2:8080*"],
  ];
  for (const [name, endpoints, expected] of cases) {
    test(name, () => {
      assert.deepEqual(compile(service("web", [VIP], HTTP), slice("web", endpoints, HTTP)), [`ClusterIP ${VIP} 6 80 -> ${expected}`]);
    });
  }

  test("of two with one address the one that may be used counts, be the other's conditions what they may", () => {
    const s = slice("web", [], HTTP);
    const conditions = [true, false].map((terminating) => ({ ready: false, serving: true, terminating }));
    for (const order of [conditions, conditions.toReversed()]) {
      const endpoints = order.map((one) => ({ addresses: ["10.244.1.2"], nodeName: "a", conditions: one }));
      assert.deepEqual(compile(service("web", [VIP], HTTP), { ...s, addressType: "IPv4", endpoints }), [
        `ClusterIP ${VIP} 6 80 -> 10.244.1.2:8080`,
      ]);
    }
  });

  test("conditions that are absent: ready, serving as ready, not terminating", () => {
    const s = slice("web", [], HTTP);
    const of = service("web", [VIP], HTTP);
    assert.match(compile(of, { ...s, endpoints: [{ addresses: ["10.244.1.2"] }] })[0] ?? "", /-> 10\.244\.1\.2/);
    assert.match(
      compile(of, { ...s, endpoints: [{ addresses: ["10.244.1.2"], conditions: { ready: false, terminating: true } }] })[0] ?? "",
      /-> reject/,
    );
  });

  test("several slices; one without ports has no ports; names are not addresses", () => {
    const of = service("web", [VIP], HTTP);
    const fqdn: EndpointSlice = { ...slice("web", [], HTTP), addressType: "FQDN", endpoints: [{ addresses: ["example.com"] }] };
    const slices = [
      slice("web", ["10.244.1.2@a"], HTTP),
      slice("web", ["10.244.1.3@a"], HTTP, "2"),
      slice("web", ["10.244.1.4@a"], [], "3"),
      fqdn,
    ];
    assert.deepEqual(compile(of, ...slices), [`ClusterIP ${VIP} 6 80 -> 10.244.1.2:8080 10.244.1.3:8080`]);
  });

  test("internalTrafficPolicy Local: only this node's, and silence when they are elsewhere", () => {
    const of = service("web", [VIP], HTTP, { internalTrafficPolicy: "Local" });
    assert.match(compile(of, slice("web", ["10.244.1.2@node-1", "10.244.2.2@node-2"], HTTP))[0] ?? "", /-> 10\.244\.1\.2:8080\* draining/);
    assert.match(compile(of, slice("web", ["10.244.2.2@node-2"], HTTP))[0] ?? "", /-> drop/);
    assert.match(compile(of)[0] ?? "", /-> reject/);
  });
});

test("each policy is for its own kind of address", () => {
  const ports: readonly PortSpec[] = [{ name: "http", port: 80, targetPort: 8080, nodePort: 30_080 }];
  const both = slice("web", ["10.244.1.2@node-1", "10.244.2.2@b"], ports);
  const counts = (spec: ServiceSpec): string =>
    compileService({ service: service("web", [VIP], ports, { externalIPs: ["192.0.2.1"], ...spec }), slices: [both], node: NODE })
      .frontends.map(({ kind, backends, policy }) => `${kind} ${backends.length} ${policy ?? "Cluster"}`)
      .join(", ");
  assert.equal(counts({}), "ClusterIP 2 Cluster, NodePort 2 Cluster, ExternalIP 2 Cluster");
  assert.equal(counts({ internalTrafficPolicy: "Local" }), "ClusterIP 1 Local, NodePort 2 Cluster, ExternalIP 2 Cluster");
  assert.equal(counts({ externalTrafficPolicy: "Local" }), "ClusterIP 2 Cluster, NodePort 1 Local, ExternalIP 1 Local");
});

describe("externalTrafficPolicy Local: the outside gets this node's endpoints, the inside gets those of policy Cluster", () => {
  const ports: readonly PortSpec[] = [{ name: "http", port: 80, targetPort: 8080, nodePort: 30_080 }];
  const cases: readonly [string, readonly string[], outside: string, inside: string][] = [
    ["here and there", ["10.244.1.2@node-1", "10.244.2.2@b"], "10.244.1.2:8080", "10.244.1.2:8080 10.244.2.2:8080"],
    ["there only", ["10.244.2.2@b"], "drop", "10.244.2.2:8080"],
    ["nowhere", ["10.244.2.2@b!notready"], "reject", ""],
    ["leaving here, ready there", ["10.244.1.2@node-1!terminating", "10.244.2.2@b"], "10.244.1.2:8080", "10.244.2.2:8080"],
    ["leaving there only", ["10.244.2.2@b!terminating"], "drop", "10.244.2.2:8080"],
    ["an unknown node is not this one", ["10.244.1.2"], "drop", "10.244.1.2:8080"],
  ];
  for (const [name, endpoints, outside, inside] of cases) {
    test(name, () => {
      const of = service("web", [VIP], ports, { externalTrafficPolicy: "Local" });
      const [clusterIp, nodePort] = compileService({ service: of, slices: [slice("web", endpoints, ports)], node: NODE }).frontends;
      const ids = (list: readonly { readonly id: string }[] = []): string => list.map(({ id }) => id).join(" ");
      assert.equal(nodePort?.backends.length === 0 ? nodePort.whenEmpty : ids(nodePort?.backends), outside);
      assert.equal(ids(nodePort?.inside), inside);
      assert.equal(clusterIp?.inside, undefined);
      assert.equal(ids(clusterIp?.backends), inside);
    });
  }
});

describe("external addresses", () => {
  const given = (ips: readonly { ip: string; ipMode?: string }[], spec: ServiceSpec = {}): Service => ({
    ...service("web", [VIP], HTTP, { type: "LoadBalancer", ...spec }),
    status: { loadBalancer: { ingress: [...ips] } },
  });
  const eps = slice("web", ["10.244.1.2@b"], HTTP);

  test("load balancers' and externalIPs, of the Service's families, each once; not those of ipMode Proxy", () => {
    const ips = [{ ip: "192.0.2.1" }, { ip: "192.0.2.2", ipMode: "Proxy" }, { ip: "2001:db8::1" }];
    assert.deepEqual(compile(given(ips, { externalIPs: ["192.0.2.1", "192.0.2.3", "2001:db8::3"] }), eps), [
      `ClusterIP ${VIP} 6 80 -> 10.244.1.2:8080`,
      "LoadBalancer 192.0.2.1 6 80 -> 10.244.1.2:8080",
      "ExternalIP 192.0.2.3 6 80 -> 10.244.1.2:8080",
    ]);
    assert.equal(compile(given(ips, { type: "NodePort" }), eps).length, 1);
  });

  const cases: readonly [string, readonly string[], string | undefined][] = [
    ["none", [], undefined],
    ["blanks, and none within another", [" 198.51.100.0/24 ", "198.51.100.7/32"], "198.51.100.0/24"],
    ["of the other family", ["2001:db8::/32"], undefined],
    ["everybody", ["0.0.0.0/0", "198.51.100.0/24"], undefined],
    ["with the node: the addresses themselves too", ["172.18.0.0/16"], "172.18.0.0/16 192.0.2.1/32"],
  ];
  for (const [name, loadBalancerSourceRanges, expected] of cases) {
    test(`source ranges: ${name}`, () => {
      const of = given([{ ip: "192.0.2.1" }], { loadBalancerSourceRanges: [...loadBalancerSourceRanges], externalIPs: ["192.0.2.3"] });
      const [, balancer, externalIp] = compileService({ service: of, slices: [eps], node: NODE }).frontends;
      assert.equal(balancer?.sources?.map(formatPrefix).join(" "), expected);
      assert.equal(externalIp?.sources, undefined);
    });
  }
});

describe("what cannot be done is left out, and said", () => {
  const problems = (of: Service, ...slices: readonly EndpointSlice[]): string[] =>
    (compileService({ service: of, slices, node: NODE }).problems ?? []).map(({ reason, message }) => `${reason}: ${message}`);
  const eps = slice("web", ["10.244.1.2@b"], HTTP);
  const balanced = (ips: readonly string[], spec: ServiceSpec = {}): Service => ({
    ...service("web", [VIP], HTTP, { type: "LoadBalancer", ...spec }),
    status: { loadBalancer: { ingress: ips.map((ip) => ({ ip })) } },
  });

  test("nothing to say", () => {
    const fine = balanced(["192.0.2.1"], { externalIPs: ["172.18.0.11"], loadBalancerSourceRanges: [" 10.0.0.0/8\t"] });
    assert.deepEqual(problems(fine, eps), []);
    // Neither in a Pod CIDR nor on a node that is known: a host network's, or outside the cluster.
    assert.deepEqual(problems(fine, slice("web", ["203.0.113.5"], HTTP)), []);
    assert.deepEqual(problems(service("web", ["None"], HTTP, { externalIPs: ["x"] })), []);
  });

  test("addresses", () => {
    const of = balanced(["x", "127.0.0.1"], { externalIPs: ["169.254.169.254", "0.0.0.0", "224.0.0.1", "2001:db8::1", "192.0.2.3"] });
    assert.deepEqual(problems(of, eps), [
      'UnusableAddress: status.loadBalancer.ingress[0].ip "x" is not used: it is not an IP address',
      'UnusableAddress: status.loadBalancer.ingress[1].ip "127.0.0.1" is not used: it is a loopback address',
      'UnusableAddress: spec.externalIPs[0] "169.254.169.254" is not used: it is a link-local address',
      'UnusableAddress: spec.externalIPs[1] "0.0.0.0" is not used: it is unspecified',
      'UnusableAddress: spec.externalIPs[2] "224.0.0.1" is not used: it is a multicast address',
      'UnusableAddress: spec.externalIPs[3] "2001:db8::1" is not used: the Service has no ClusterIP of the family IPv6',
    ]);
    assert.deepEqual(compile(of, eps), [`ClusterIP ${VIP} 6 80 -> 10.244.1.2:8080`, "ExternalIP 192.0.2.3 6 80 -> 10.244.1.2:8080"]);
    for (const ip of ["::", "::1", "fe80::1", "ff02::1", "255.255.255.255"]) {
      assert.equal(problems(balanced([ip]), eps).length, 1, ip);
    }
  });

  test("source ranges", () => {
    const of = balanced(["192.0.2.1"], { loadBalancerSourceRanges: ["10.0.0.0/8", "2001:db8::/32", "10.0.0.0/33"] });
    assert.deepEqual(problems(of, eps), [
      'UnusableSourceRange: spec.loadBalancerSourceRanges[1] "2001:db8::/32" is not used: the load balancer has no address of the family IPv6',
      'UnusableSourceRange: spec.loadBalancerSourceRanges[2] "10.0.0.0/33" is not used: it is not a CIDR',
    ]);
    const [, lb] = compileService({ service: of, slices: [eps], node: NODE }).frontends;
    assert.deepEqual(lb?.sources?.map(formatPrefix), ["10.0.0.0/8"]);
    // No address yet: nobody knows its families.
    assert.deepEqual(problems(balanced([], { loadBalancerSourceRanges: ["2001:db8::/32"] }), eps), []);
  });

  test("ports that are there twice: the first counts", () => {
    const ports: readonly PortSpec[] = [
      { name: "a", port: 80, targetPort: 8080 },
      { name: "b", port: 80, targetPort: 9090 },
      { name: "c", port: 80, protocol: "UDP" },
    ];
    assert.deepEqual(problems(service("web", [VIP], ports)), [
      "DuplicatePort: spec.ports[1] is not used: spec.ports[0] has TCP 80 already",
    ]);
    assert.deepEqual(compile(service("web", [VIP], ports), slice("web", ["10.244.1.2@b"], ports)), [
      `ClusterIP ${VIP} 6 80 -> 10.244.1.2:8080`,
      `ClusterIP ${VIP} 17 80 -> 10.244.1.2:80`,
    ]);
  });

  test("endpoints that mean something else on every node", () => {
    const bad = slice("web", ["127.0.0.1@node-1", "10.244.1.2@b", "169.254.169.254"], HTTP);
    assert.deepEqual(compile(service("web", [VIP], HTTP), bad), [`ClusterIP ${VIP} 6 80 -> 10.244.1.2:8080`]);
    assert.deepEqual(problems(service("web", [VIP], HTTP), bad), [
      "UnusableEndpoint: The endpoint 127.0.0.1 and 1 more gets no connections: it is a loopback address",
    ]);
  });

  test("an IPv4 address in a slice of IPv6 is none of its family", () => {
    const mixed: EndpointSlice = { ...slice("web", ["10.244.1.2@b"], HTTP), addressType: "IPv6" };
    assert.deepEqual(compile(service("web", ["fd00:10:96::1"], HTTP), mixed), ["ClusterIP fd00:10:96::1 6 80 -> reject"]);
  });
});

test("a slice of 1,000 endpoints without conditions: all ready, in any order the same", () => {
  const all = Array.from({ length: 1000 }, (_, i) => ({ addresses: [`10.244.${i >> 8}.${i & 255}`] }));
  const full: EndpointSlice = { ...slice("web", [], HTTP), addressType: "IPv4", endpoints: all };
  const of = service("web", [VIP], HTTP);
  const [one] = compileService({ service: of, slices: [full], node: NODE }).frontends;
  assert.equal(one?.backends.length, 1000);
  const halves = [
    { ...full, endpoints: all.slice(400).reverse() },
    { ...full, endpoints: all.slice(0, 600) },
  ];
  assert.deepEqual(compileService({ service: of, slices: halves, node: NODE }).frontends, [one]);
});

describe("topology hints", () => {
  interface Hinted {
    readonly zone?: string;
    readonly node?: string;
  }
  const pick = (hints: readonly Hinted[], zone: string | undefined, spec: ServiceSpec = {}): string => {
    const eps = slice(
      "web",
      hints.map((_, i) => `10.244.1.${i}@node-1`),
      HTTP,
    );
    const endpoints = (eps.endpoints ?? []).map((each, i) => {
      const { zone: forZone, node } = hints[i] ?? {};
      const forZones = forZone === undefined ? {} : { forZones: [{ name: forZone }] };
      return { ...each, hints: { ...forZones, ...(node !== undefined && { forNodes: [{ name: node }] }) } };
    });
    const at = { ...NODE, ...(zone !== undefined && { zone }) };
    const [f] = compileService({ service: service("web", [VIP], HTTP, spec), slices: [{ ...eps, endpoints }], node: at }).frontends;
    return (f?.backends ?? []).map(({ addr }) => formatAddr(addr).slice(-1)).join("");
  };
  const ab: readonly Hinted[] = [{ zone: "a" }, { zone: "b" }, { zone: "a" }];

  test("this zone's, when every endpoint has a hint and one is for this zone", () => {
    assert.equal(pick(ab, "a"), "02");
    assert.equal(pick(ab, "c"), "012");
    assert.equal(pick(ab, undefined), "012");
    assert.equal(pick([...ab, {}], "a"), "0123");
  });

  test("this node's before this zone's", () => {
    const both: readonly Hinted[] = [
      { zone: "a", node: "node-1" },
      { zone: "a", node: "node-2" },
      { zone: "b", node: "node-2" },
    ];
    assert.equal(pick(both, "a"), "0");
    assert.equal(pick(both.slice(1), "a"), "0");
    assert.equal(pick([...both, { zone: "a" }], "a"), "013");
  });

  test("not for policy Local", () => assert.equal(pick(ab, "a", { internalTrafficPolicy: "Local" }), "012"));
});

test("ports: by name and protocol, the unnamed one too, TCP and UDP of one number, NodePorts on the node's addresses", () => {
  const ports: readonly PortSpec[] = [
    { name: "dns", port: 53, protocol: "UDP", targetPort: 5353, nodePort: 30_053 },
    { name: "dns-tcp", port: 53, protocol: "TCP", targetPort: 5354, nodePort: 30_053 },
  ];
  const of = service("dns", [VIP, "fd00:10:96::1"], ports);
  const six = slice("dns", ["fd00:10:244:1::2@b"], ports, "6");
  assert.deepEqual(compile(of, slice("dns", ["10.244.1.2@b"], ports), six), [
    `ClusterIP ${VIP} 17 53 -> 10.244.1.2:5353`,
    "NodePort 172.18.0.11 17 30053 -> 10.244.1.2:5353",
    "ClusterIP fd00:10:96::1 17 53 -> [fd00:10:244:1::2]:5353",
    "NodePort fd00:18::11 17 30053 -> [fd00:10:244:1::2]:5353",
    `ClusterIP ${VIP} 6 53 -> 10.244.1.2:5354`,
    "NodePort 172.18.0.11 6 30053 -> 10.244.1.2:5354",
    "ClusterIP fd00:10:96::1 6 53 -> [fd00:10:244:1::2]:5354",
    "NodePort fd00:18::11 6 30053 -> [fd00:10:244:1::2]:5354",
  ]);
  const unnamed: readonly PortSpec[] = [{ port: 80 }];
  assert.deepEqual(compile(service("web", [VIP], unnamed), slice("web", ["10.244.1.2@b"], [{ name: "", port: 80 }])), [
    `ClusterIP ${VIP} 6 80 -> 10.244.1.2:80`,
  ]);
});

test("provenance and affinity", () => {
  const of = service("web", [VIP], HTTP, { sessionAffinity: "ClientIP" });
  const [frontend] = compileService({ service: of, slices: [], node: NODE }).frontends;
  assert.equal(frontend?.service, "default/web:http");
  assert.equal(frontend.affinitySeconds, 10_800);
  assert.equal(endpoint("fd00::1@n!dead").addresses[0], "fd00::1");
});
