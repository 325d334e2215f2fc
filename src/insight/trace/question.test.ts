import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { InputError } from "#base";
import { resolveQuestion } from "./question.ts";
import { objectsOf, podObject, serviceObject } from "./testing/fixture.ts";
import type { RawQuestion, Resolved } from "./types.ts";

const ports = [
  { name: "http", containerPort: 8080 },
  { name: "dgram", containerPort: 8081, protocol: "UDP" },
];
const web = podObject("default/web", ["10.244.1.3", "fd00::3"], { containers: [{ name: "c", ports }] });
const one = podObject("default/one", ["10.244.1.4"], { containers: [{ name: "c", ports: [{ containerPort: 9000 }] }] });
const far = podObject("shop/far", ["10.244.2.3", "fd00::2:3"]);
const late = podObject("default/late", []);
const api = serviceObject("default/api", {
  clusterIP: "10.96.0.20",
  clusterIPs: ["10.96.0.20", "fd00:96::20"],
  ports: [
    { name: "http", port: 80, targetPort: 8080, nodePort: 30080 },
    { name: "dgram", port: 81, protocol: "UDP" },
  ],
});
const single = serviceObject("shop/single", { clusterIP: "10.96.0.21", clusterIPs: ["10.96.0.21"], ports: [{ port: 443 }] });
const dns = serviceObject("kube-system/kube-dns", {
  clusterIP: "10.96.0.10",
  clusterIPs: ["10.96.0.10"],
  ports: [{ name: "dns", port: 53, protocol: "UDP" }],
});
const balanced = serviceObject(
  "shop/lb",
  { clusterIP: "10.96.0.22", clusterIPs: ["10.96.0.22"], ports: [{ port: 80 }] },
  { loadBalancer: { ingress: [{ ip: "198.51.100.7" }] } },
);
const OBJECTS = objectsOf({ pods: [web, one, far, late], services: [api, single, dns, balanced] });

function resolve(question: Partial<RawQuestion>): Resolved {
  return resolveQuestion({ from: "web", to: "", namespace: "default", ...question }, OBJECTS);
}

function said(question: Partial<RawQuestion>): string {
  const resolved = resolve(question);
  if (resolved.kind === "ask") return resolved.ask.text + (resolved.lookup === undefined ? "" : ` by ${resolved.lookup.ask.text}`);
  return resolved.kind === "lookup" ? `${resolved.lookup.candidates.join(" ")} by ${resolved.lookup.ask.text}` : resolved.cause.sentence;
}

suite("what is asked", () => {
  const table: readonly (readonly [Partial<RawQuestion>, string])[] = [
    [{ to: "pod/one" }, "pod default/one at 10.244.1.4:9000/tcp"],
    [{ to: "one:80" }, "pod default/one at 10.244.1.4:80/tcp"],
    [{ to: "shop/far", port: "53/udp" }, "pod shop/far at 10.244.2.3:53/udp"],
    [{ to: "pod/shop/far", port: "80", family: 6 }, "pod shop/far at [fd00::2:3]:80/tcp"],
    [{ to: "shop/far", protocol: "icmp" }, "pod shop/far (10.244.2.3), echo"],
    [{ from: "one", to: "web", port: "dgram" }, "pod default/web at 10.244.1.3:8081/udp"],
    [{ to: "svc/api", port: "http" }, "Service default/api at 10.96.0.20:80/tcp"],
    [{ to: "api:http" }, "Service default/api at 10.96.0.20:80/tcp"],
    [{ to: "svc/api", protocol: "udp" }, "Service default/api at 10.96.0.20:81/udp"],
    [{ to: "svc/api", port: "99" }, "Service default/api at 10.96.0.20:99/tcp"],
    [{ to: "svc/shop/single" }, "Service shop/single at 10.96.0.21:443/tcp"],
    [{ to: "10.96.0.20:80" }, "Service default/api at 10.96.0.20:80/tcp"],
    [{ to: "198.51.100.7" }, "Service shop/lb at 198.51.100.7:80/tcp"],
    [{ to: "[fd00:96::20]:80" }, "Service default/api at [fd00:96::20]:80/tcp"],
    [{ to: "10.244.2.3", port: "80" }, "pod shop/far at 10.244.2.3:80/tcp"],
    [{ to: "192.0.2.1:443" }, "192.0.2.1:443/tcp"],
    [{ to: "192.0.2.1" }, "192.0.2.1, echo"],
    [{ from: "outside", to: "node/node-2:30080" }, "node node-2 at 172.18.0.12:30080/tcp"],
    [{ to: "172.18.0.11:30080" }, "node node-1 at 172.18.0.11:30080/tcp"],
    [{ to: "single.shop" }, "Service shop/single at 10.96.0.21:443/tcp by name server kube-system/kube-dns at 10.96.0.10:53/udp"],
    [
      { to: "example.org", port: "443" },
      "example.org.default.svc.cluster.local example.org.svc.cluster.local example.org.cluster.local example.org by name server kube-system/kube-dns at 10.96.0.10:53/udp",
    ],
    [{ to: "a.b.c.d.e.example.org." }, "a.b.c.d.e.example.org by name server kube-system/kube-dns at 10.96.0.10:53/udp"],
    [{ to: "late", port: "80" }, "pod default/late cannot be asked: it has no address"],
    [{ from: "late", to: "web" }, "pod default/late cannot ask: it has no address"],
    [{ to: "one", family: 6, port: "80" }, "pod default/one has no IPv6 address"],
  ];
  for (const [question, expected] of table) {
    test(JSON.stringify(question), () => assert.equal(said(question), expected));
  }

  test("a NodePort is its Service's", () => {
    const resolved = resolve({ from: "outside", to: "node/node-2:30080" });
    assert.ok(resolved.kind === "ask" && resolved.ask.to.kind === "service");
    assert.deepEqual([resolved.ask.to.via, resolved.ask.to.service.metadata.name], ["NodePort", "api"]);
  });

  test("a port that the Service does not have is none", () => {
    const resolved = resolve({ to: "svc/api", port: "99" });
    assert.ok(resolved.kind === "ask" && resolved.ask.to.kind === "service" && resolved.ask.to.port === undefined);
  });
});

suite("what names nothing", () => {
  const table: readonly (readonly [Partial<RawQuestion>, RegExp])[] = [
    [{ from: "nobody", to: "web" }, /there is no pod default\/nobody; namespace default has late, one, web/],
    [{ from: "far", to: "web" }, /there is no pod default\/far; there is shop\/far/],
    [{ from: "node/node-9", to: "web" }, /there is no node "node-9"; there are: node-1, node-2/],
    [{ from: "svc/api", to: "web" }, /is a Service; packets come from a pod/],
    [{ from: "web:80", to: "one" }, /has a port, "80"/],
    [{ to: "svc/nothing" }, /there is no Service default\/nothing; namespace default has api/],
    [{ to: "svc/single" }, /there is shop\/single/],
    [{ to: "svc/api" }, /http 80\/tcp.*say which|say which/],
    [{ to: "web" }, /http 8080\/tcp, dgram 8081\/udp: say which/],
    [{ to: "shop/far" }, /declares no ports: say which/],
    [{ to: "one", port: "99999" }, /99999 is not a port/],
    [{ to: "one", port: "80/quic" }, /"quic" is not a protocol/],
    [{ to: "svc/api", port: "nosuch" }, /has no port "nosuch"; it has dgram 81\/udp, http 80\/tcp/],
    [{ to: "" }, /is empty/],
    [{ to: "a/b/c" }, /is not an end/],
    [{ from: "outside", to: "api.default" }, /outside knows no names/],
    [{ to: "what?" }, /neither an object nor a DNS name/],
    [{ to: "outside" }, /name an address/],
  ];
  for (const [question, expected] of table) {
    test(JSON.stringify(question), () =>
      assert.throws(
        () => resolve(question),
        (err) => err instanceof InputError && expected.test(err.message),
      ),
    );
  }
});
