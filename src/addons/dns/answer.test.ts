// Names of the cluster, as the specification 1.1.0 and CoreDNS's kubernetes plugin have them.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseAddr } from "#ip";
import { type DNS_TYPE, decodeDns } from "#wire";
import { dashedLabel, reverseName } from "./names.ts";
import {
  apply,
  CLUSTER,
  externalName,
  makeHandler,
  makeZones,
  namespace,
  queryBytes,
  replyText,
  service,
  slice,
} from "./testing/cluster.ts";
import { ZoneIndex } from "./zone-index.ts";

const ZONE = "cluster.local";
const SOA = "~cluster.local SOA ns.dns.cluster.local hostmaster.cluster.local 7200 1800 86400 5";
const NODATA = ["NOERROR aa", SOA];
const NXDOMAIN = ["NXDOMAIN aa", SOA];
const reverseSoa = (zone: string): string => `~${zone} SOA ns.dns.${zone} hostmaster.${zone} 7200 1800 86400 5`;
const svc = (name: string): string => `${name}.shop.svc.${ZONE}`;

type Type = keyof typeof DNS_TYPE | number;
type Row = readonly [what: string, type: Type, name: string, reply: readonly string[]];

const handler = makeHandler();
function ask(type: Type, name: string, on = handler): string[] {
  const reply = on.handle(queryBytes(type, name), { tcp: true, family: 4 });
  assert.ok(reply instanceof Buffer, "answered at once");
  return replyText(reply);
}
/** Addresses come in another order each time. */
function sorted(lines: readonly string[]): string[] {
  return [...lines.slice(0, 1), ...lines.slice(1).sort()];
}

const ROWS: readonly Row[] = [
  ["version", "TXT", "dns-version.cluster.local", ["NOERROR aa", '28800 TXT "1.1.0"']],
  ["version has no address", "A", "dns-version.cluster.local", NODATA],
  ["below the version", "TXT", "x.dns-version.cluster.local", NXDOMAIN],

  ["Service", "A", svc("web"), ["NOERROR aa", "A 10.96.0.20"]],
  ["Service over IPv6", "AAAA", svc("web"), ["NOERROR aa", "AAAA fd00:10:96::20"]],
  ["Service without endpoints", "A", svc("lonely"), ["NOERROR aa", "A 10.96.0.21"]],
  [
    "Service without endpoints, SRV",
    "SRV",
    `_http._tcp.${svc("lonely")}`,
    ["NOERROR aa", `SRV 0 100 80 ${svc("lonely")}`, `+${svc("lonely")} A 10.96.0.21`],
  ],
  ["the other family of an existing name", "AAAA", svc("lonely"), NODATA],
  ["Service whose name begins with a digit", "A", svc("1digit"), ["NOERROR aa", "A 10.96.0.23"]],
  ["Service without an address yet", "A", svc("pending"), NXDOMAIN],
  ["no such Service", "A", svc("nope"), NXDOMAIN],
  ["no such Service, IPv6", "AAAA", svc("nope"), NXDOMAIN],
  ["slices without a Service", "A", svc("orphan"), NXDOMAIN],

  ["headless", "A", svc("db"), ["NOERROR aa", "A 10.244.1.5", "A 10.244.2.5", "A 10.244.3.5"]],
  ["headless over IPv6", "AAAA", svc("db"), ["NOERROR aa", "AAAA fd00:10:244:1::5"]],
  ["headless without ready endpoints", "A", svc("unready"), NXDOMAIN],
  ["headless without ready endpoints, SRV", "SRV", `_http._tcp.${svc("unready")}`, NXDOMAIN],
  ["headless without ports has addresses", "A", svc("portless"), ["NOERROR aa", "A 10.244.1.7"]],
  ["headless without ports has no SRV", "SRV", svc("portless"), NODATA],

  ["endpoint by hostname", "A", `db-0.${svc("db")}`, ["NOERROR aa", "A 10.244.1.5"]],
  ["endpoint by hostname over IPv6", "AAAA", `db-0.${svc("db")}`, ["NOERROR aa", "AAAA fd00:10:244:1::5"]],
  ["endpoint that has only IPv4", "AAAA", `db-1.${svc("db")}`, NODATA],
  ["endpoint by its address", "A", `10-244-3-5.${svc("db")}`, ["NOERROR aa", "A 10.244.3.5"]],
  ["endpoint with a hostname is not found by its address", "A", `10-244-1-5.${svc("db")}`, NXDOMAIN],
  ["endpoint that is not ready", "A", `db-3.${svc("db")}`, NXDOMAIN],
  ["endpoint of a Service with ClusterIP", "A", `10-244-1-4.${svc("web")}`, ["NOERROR aa", "A 10.244.1.4"]],
  ["IPv6 label that would end in a dash", "AAAA", `fd00--0.${svc("six")}`, ["NOERROR aa", "AAAA fd00::"]],
  ["two endpoints of one hostname", "A", `same.${svc("dup")}`, ["NOERROR aa", "A 10.244.1.12", "A 10.244.1.13"]],
  ["SRV of an endpoint", "SRV", `db-1.${svc("db")}`, ["NOERROR aa", `SRV 0 100 5432 db-1.${svc("db")}`, `+db-1.${svc("db")} A 10.244.2.5`]],

  [
    "SRV of both families",
    "SRV",
    `_http._tcp.${svc("web")}`,
    ["NOERROR aa", `SRV 0 50 80 ${svc("web")}`, `+${svc("web")} A 10.96.0.20`, `+${svc("web")} AAAA fd00:10:96::20`],
  ],
  [
    "SRV of a headless Service",
    "SRV",
    `_pg._tcp.${svc("db")}`,
    [
      "NOERROR aa",
      ...["10-244-3-5", "db-0", "db-1"].map((host) => `SRV 0 25 5432 ${host}.${svc("db")}`),
      `+10-244-3-5.${svc("db")} A 10.244.3.5`,
      `+db-0.${svc("db")} A 10.244.1.5`,
      `+db-0.${svc("db")} AAAA fd00:10:244:1::5`,
      `+db-1.${svc("db")} A 10.244.2.5`,
    ],
  ],
  [
    "SRV where two endpoints share a hostname: one record, both addresses, weights of six",
    "SRV",
    `_http._tcp.${svc("dup")}`,
    [
      "NOERROR aa",
      ...["10-244-1-10", "10-244-1-11", "fd00--1", "fd00--2", "same"].map((host) => `SRV 0 16 80 ${host}.${svc("dup")}`),
      `+10-244-1-10.${svc("dup")} A 10.244.1.10`,
      `+10-244-1-11.${svc("dup")} A 10.244.1.11`,
      `+fd00--1.${svc("dup")} AAAA fd00::1`,
      `+fd00--2.${svc("dup")} AAAA fd00::2`,
      `+same.${svc("dup")} A 10.244.1.12`,
      `+same.${svc("dup")} A 10.244.1.13`,
    ],
  ],
  [
    "SRV of an unnamed port, by the Service's name only",
    "SRV",
    svc("single"),
    ["NOERROR aa", `SRV 0 100 8080 ${svc("single")}`, `+${svc("single")} A 10.96.0.22`],
  ],
  ["an unnamed port has no name", "SRV", `_._tcp.${svc("single")}`, NXDOMAIN],
  ["SRV of another protocol", "SRV", `_http._udp.${svc("web")}`, NXDOMAIN],
  ["SRV of no such port", "SRV", `_nope._tcp.${svc("web")}`, NXDOMAIN],
  ["a port's name has no address", "A", `_http._tcp.${svc("web")}`, NODATA],
  ["the protocol above a port's name exists", "A", `_tcp.${svc("web")}`, NODATA],
  ["a protocol without ports", "A", `_sctp.${svc("web")}`, NXDOMAIN],
  ["too many labels", "SRV", `x._http._tcp.${svc("web")}`, NXDOMAIN],
  ["too many labels without underscores", "A", `a.b.${svc("web")}`, NXDOMAIN],

  ["apex", "A", ZONE, NODATA],
  ["SOA at the apex", "SOA", ZONE, ["NOERROR aa", SOA.slice(1 + ZONE.length + 1)]],
  ["SOA below the apex", "SOA", svc("web"), NODATA],
  [
    "NS at the apex names the DNS Service, with both addresses",
    "NS",
    ZONE,
    [
      "NOERROR aa",
      "NS kube-dns.kube-system.svc.cluster.local",
      "+kube-dns.kube-system.svc.cluster.local A 10.96.0.10",
      "+kube-dns.kube-system.svc.cluster.local AAAA fd00:10:96::a",
    ],
  ],
  ["NS below the apex", "NS", svc("web"), NODATA],
  ["NS of nothing", "NS", "foo.cluster.local", NXDOMAIN],
  ["the SOA's name server", "A", "ns.dns.cluster.local", ["NOERROR aa", "A 10.96.0.10"]],
  ["the SOA's name server over IPv6", "AAAA", "ns.dns.cluster.local", ["NOERROR aa", "AAAA fd00:10:96::a"]],
  ["above it", "A", "dns.cluster.local", NODATA],
  ["beside it", "A", "other.dns.cluster.local", NXDOMAIN],
  ["svc", "A", "svc.cluster.local", NODATA],
  ["pod", "A", "pod.cluster.local", NODATA],
  ["a namespace's Services", "A", "shop.svc.cluster.local", NODATA],
  ["a namespace's pods", "A", "shop.pod.cluster.local", NODATA],
  ["no such namespace", "A", "nope.svc.cluster.local", NXDOMAIN],
  ["no such namespace of pods", "A", "nope.pod.cluster.local", NXDOMAIN],
  ["any other name", "A", "foo.cluster.local", NXDOMAIN],
  ["a client's search list at work", "A", `www.example.com.shop.svc.${ZONE}`, NXDOMAIN],

  ["HTTPS of an existing name", "HTTPS", svc("web"), NODATA],
  ["HTTPS of a missing name", "HTTPS", svc("nope"), NXDOMAIN],
  ["a type that nobody knows", 65280, svc("web"), NODATA],
  ["ANY", "ANY", svc("web"), NODATA],
  ["MX of the apex", "MX", ZONE, NODATA],
  ["AXFR", "AXFR", ZONE, ["REFUSED"]],
  ["IXFR", "IXFR", ZONE, ["REFUSED"]],

  ["pod by address", "A", `10-244-1-4.shop.pod.${ZONE}`, ["NOERROR aa", "A 10.244.1.4"]],
  ["pod by IPv6 address", "AAAA", `fd00--5.shop.pod.${ZONE}`, ["NOERROR aa", "AAAA fd00::5"]],
  ["pod of the other family", "AAAA", `10-244-1-4.shop.pod.${ZONE}`, NODATA],
  ["pod in no such namespace", "A", `10-244-1-4.nope.pod.${ZONE}`, NXDOMAIN],
  ["pod in a namespace with a dash", "A", `1-2-3-4.test-x.pod.${ZONE}`, ["NOERROR aa", "A 1.2.3.4"]],
  ["pod whose label is no address", "A", `web-0.shop.pod.${ZONE}`, NXDOMAIN],
  ["pod with three dashes, two together, is IPv6", "A", `1-2--3.shop.pod.${ZONE}`, NODATA],
  ["below a pod", "A", `x.10-244-1-4.shop.pod.${ZONE}`, NXDOMAIN],

  ["ExternalName without upstream", "A", svc("ext"), ["NOERROR aa", "CNAME www.example.com"]],
  ["ExternalName, CNAME", "CNAME", svc("ext"), ["NOERROR aa", "CNAME www.example.com"]],
  ["ExternalName has no SRV", "SRV", svc("ext"), NODATA],
  ["below an ExternalName", "A", `_http._tcp.${svc("ext")}`, NXDOMAIN],
  ["ExternalName into the cluster", "A", svc("ext-in"), ["NOERROR aa", `CNAME ${svc("web")}`, `${svc("web")} A 10.96.0.20`]],
  [
    "ExternalName to an ExternalName",
    "AAAA",
    svc("two"),
    ["NOERROR aa", `CNAME ${svc("ext-in")}`, `${svc("ext-in")} CNAME ${svc("web")}`, `${svc("web")} AAAA fd00:10:96::20`],
  ],
  ["ExternalName to a Service that is not there", "A", svc("ext-gone"), ["NXDOMAIN aa", `CNAME ${svc("gone")}`, SOA]],
  ["ExternalName that is an address", "A", svc("ext-ip"), NXDOMAIN],
  ["ExternalName to itself", "A", svc("self"), NODATA],
  ["ExternalNames in a circle", "A", svc("loop-a"), NODATA],
  ["ExternalNames in a chain too long", "A", svc("chain-0"), NODATA],

  ["PTR of a ClusterIP", "PTR", reverseName(parseAddr("10.96.0.20")), ["NOERROR aa", `PTR ${svc("web")}`]],
  ["PTR of an IPv6 ClusterIP", "PTR", reverseName(parseAddr("fd00:10:96::20")), ["NOERROR aa", `PTR ${svc("web")}`]],
  [
    "PTR of an endpoint of two Services",
    "PTR",
    "4.1.244.10.in-addr.arpa",
    ["NOERROR aa", `PTR 10-244-1-4.${svc("web")}`, "PTR w.also.quiet.svc.cluster.local"],
  ],
  ["PTR of an endpoint in two slices", "PTR", "5.2.244.10.in-addr.arpa", ["NOERROR aa", `PTR db-1.${svc("db")}`]],
  ["PTR of an endpoint over IPv6", "PTR", reverseName(parseAddr("fd00:10:244:1::5")), ["NOERROR aa", `PTR db-0.${svc("db")}`]],
  ["PTR of an endpoint that is not ready", "PTR", "6.3.244.10.in-addr.arpa", ["NXDOMAIN aa", reverseSoa("in-addr.arpa")]],
  ["PTR of a pod in no Service", "PTR", "30.1.244.10.in-addr.arpa", ["NXDOMAIN aa", reverseSoa("in-addr.arpa")]],
  ["PTR of half an address", "PTR", "1.244.10.in-addr.arpa", ["NXDOMAIN aa", reverseSoa("in-addr.arpa")]],
  ["PTR of half an IPv6 address", "PTR", "0.0.d.f.ip6.arpa", ["NXDOMAIN aa", reverseSoa("ip6.arpa")]],
  ["an address of an existing reverse name", "A", "20.0.96.10.in-addr.arpa", ["NOERROR aa", reverseSoa("in-addr.arpa")]],
  ["a forward name in a reverse zone", "A", "web.shop.svc.0.10.in-addr.arpa", ["NXDOMAIN aa", reverseSoa("in-addr.arpa")]],
  ["PTR of a forward name", "PTR", svc("web"), NODATA],
  ["PTR of an address in the cluster's zone", "PTR", "100.0.0.10.cluster.local", NXDOMAIN],

  ["a name of the world, nobody to ask", "A", "www.example.com", ["SERVFAIL"]],
  ["a name that only ends like ours", "A", "notcluster.local", ["SERVFAIL"]],
  ["the root", "NS", "", ["SERVFAIL"]],
];

for (const [what, type, name, expected] of ROWS) {
  test(`${what}: ${type} ${name}`, () => {
    const lines = sorted(expected);
    assert.deepEqual(sorted(ask(type, name)), lines);
    // The second time it comes from what was prepared.
    assert.deepEqual(sorted(ask(type, name)), lines);
  });
}

test("case is kept: the client's spelling comes back in every name that is the client's", () => {
  const name = "WeB.sHoP.SvC.cLuStEr.LoCaL";
  for (let i = 0; i < 2; i++) {
    assert.deepEqual(ask("A", name), ["NOERROR aa", "A 10.96.0.20"]);
    const soa = "~cLuStEr.LoCaL SOA ns.dns.cLuStEr.LoCaL hostmaster.cLuStEr.LoCaL 7200 1800 86400 5";
    assert.deepEqual(ask("MX", name), ["NOERROR aa", soa]);
    assert.deepEqual(ask("A", `NoPe.${name}`), ["NXDOMAIN aa", soa]);
    assert.deepEqual(ask("SRV", `_HtTp._TcP.${name}`).slice(0, 2), ["NOERROR aa", "SRV 0 50 80 web.shop.svc.cluster.local"]);
  }
});

test("before everything is known: SERVFAIL, never NXDOMAIN, with the reason for those who speak EDNS", () => {
  const early = makeHandler({ hasSynced: () => false });
  assert.deepEqual(ask("A", svc("web"), early), ["SERVFAIL"]);
  assert.deepEqual(ask("PTR", "20.0.96.10.in-addr.arpa", early), ["SERVFAIL"]);
  const edns = { udpSize: 4096, version: 0, dnssecOk: false, options: [] };
  const reply = early.handle(queryBytes("A", svc("web"), { edns }), { tcp: false, family: 4 });
  assert.ok(reply instanceof Buffer);
  const option = decodeDns(reply).edns?.options[0];
  assert.equal(option?.code, 15);
  assert.deepEqual([...option.data.subarray(0, 2)], [0, 14]);
});

test("pods disabled", () => {
  const zones = makeZones(new ZoneIndex());
  apply(zones.index, CLUSTER);
  const strict = makeHandler({ zones: { ...zones, options: { ...zones.options, pods: "disabled" } } });
  assert.deepEqual(ask("A", `10-244-1-4.shop.pod.${ZONE}`, strict), NXDOMAIN);
  assert.deepEqual(ask("A", `shop.pod.${ZONE}`, strict), NODATA);
});

test("addresses rotate, aliases stay first", () => {
  const zones = makeZones(new ZoneIndex());
  apply(zones.index, [...CLUSTER, externalName("shop/to-db", svc("db"))]);
  const rotating = makeHandler({ zones });
  const firsts = new Set<string | undefined>();
  for (let i = 0; i < 6; i++) {
    firsts.add(ask("A", svc("db"), rotating)[1]);
    const lines = ask("A", svc("to-db"), rotating);
    assert.equal(lines[1], `CNAME ${svc("db")}`);
    assert.equal(lines.length, 5);
  }
  assert.equal(firsts.size, 3);
});

test("changes show at once, also in what was prepared", () => {
  const zones = makeZones(new ZoneIndex());
  const live = makeHandler({ zones });
  const { index } = zones;
  const web = (): string[] => ask("A", svc("web"), live);
  assert.deepEqual(web(), NXDOMAIN);
  apply(index, [namespace("shop"), service("shop/web", ["10.96.0.1"])]);
  assert.deepEqual(web(), ["NOERROR aa", "A 10.96.0.1"]);
  assert.deepEqual(web(), ["NOERROR aa", "A 10.96.0.1"]);
  apply(index, [externalName("shop/web", "www.example.com")]);
  assert.deepEqual(web(), ["NOERROR aa", "CNAME www.example.com"]);
  assert.deepEqual(ask("PTR", "1.0.96.10.in-addr.arpa", live)[0], "NXDOMAIN aa");
  apply(index, [service("shop/web", ["None"]), slice("shop/web-1", "web", ["10.244.0.1", "10.244.0.2"])]);
  assert.equal(web().length, 3);
  assert.equal(web().length, 3);
  apply(index, [slice("shop/web-1", "web", ["10.244.0.2"])]);
  assert.deepEqual(web(), ["NOERROR aa", "A 10.244.0.2"]);
  apply(index, [slice("shop/web-1", "other", ["10.244.0.2"])]);
  assert.deepEqual(web(), NXDOMAIN);
  apply(index, [slice("shop/web-1", "web", ["10.244.0.3"])]);
  assert.deepEqual(ask("PTR", "3.0.244.10.in-addr.arpa", live)[1], `PTR 10-244-0-3.${svc("web")}`);
  index.deleteService("shop", "web");
  assert.deepEqual(web(), NXDOMAIN);
  assert.equal(ask("PTR", "3.0.244.10.in-addr.arpa", live)[0], "NXDOMAIN aa");
  index.deleteSlice("shop", "web-1");
  index.deleteNamespace("shop");
  assert.deepEqual(ask("A", `shop.svc.${ZONE}`, live), NXDOMAIN);
});

test("an index that followed changes answers as one that was filled at once", () => {
  const ip = fc.nat(6).map((n) => `10.244.0.${n}`);
  const key = fc.constantFrom("a/x", "a/y", "b/x");
  const step = fc.oneof(
    fc.tuple(key, fc.uniqueArray(ip, { maxLength: 2 })).map(([k, ips]) => ({ put: service(k, ips, [["p", "TCP", 1]]) })),
    key.map((k) => ({ put: service(k, ["None"], [["p", "TCP", 1]]) })),
    key.map((k) => ({ dropService: k })),
    fc
      .tuple(fc.constantFrom("a/s1", "a/s2", "b/s1"), fc.constantFrom("x", "y"), fc.array(ip, { maxLength: 3 }))
      .map(([k, owner, ips]) => ({ put: slice(k, owner, ips, [["p", "TCP", 1]]) })),
    fc.constantFrom("a/s1", "a/s2", "b/s1").map((k) => ({ dropSlice: k })),
  );
  const questions: (readonly [Type, string])[] = [
    ...["a/x", "a/y", "b/x"].flatMap((k): (readonly [Type, string])[] => {
      const name = `${k.split("/").reverse().join(".")}.svc.${ZONE}`;
      return [
        ["A", name],
        ["SRV", `_p._tcp.${name}`],
        ["A", `${dashedLabel("10.244.0.1")}.${name}`],
      ];
    }),
    ...Array.from({ length: 7 }, (_, n): readonly [Type, string] => ["PTR", `${n}.0.244.10.in-addr.arpa`]),
  ];
  fc.assert(
    fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
      const followed = makeZones(new ZoneIndex());
      const live = makeHandler({ zones: followed });
      const last = new Map<string, (typeof CLUSTER)[number]>();
      for (const change of steps) {
        // Answers in between are what could be left behind, stale.
        for (const [type, name] of questions) ask(type, name, live);
        if ("put" in change) {
          apply(followed.index, [change.put]);
          last.set(`${change.put.kind} ${change.put.metadata.namespace}/${change.put.metadata.name}`, change.put);
        } else if ("dropService" in change) {
          const [ns = "", name = ""] = change.dropService.split("/");
          followed.index.deleteService(ns, name);
          last.delete(`Service ${change.dropService}`);
        } else {
          const [ns = "", name = ""] = change.dropSlice.split("/");
          followed.index.deleteSlice(ns, name);
          last.delete(`EndpointSlice ${change.dropSlice}`);
        }
      }
      const fresh = makeZones(new ZoneIndex());
      apply(fresh.index, [...last.values()]);
      const filled = makeHandler({ zones: fresh });
      for (const [type, name] of questions)
        assert.deepEqual(sorted(ask(type, name, live)), sorted(ask(type, name, filled)), `${type} ${name}`);
    }),
    { numRuns: 60 },
  );
});
