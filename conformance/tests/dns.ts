// kubernetes/kubernetes test/e2e/network/dns.go.
import assert from "node:assert/strict";
import { parseAddr } from "#ip";
import { type DnsQuestion, expectDns } from "../fixture/dns-prober.ts";
import { runExecPod } from "../fixture/pods.ts";
import { changeService, clusterIpOf, createService, without } from "../fixture/services.ts";
import type { ConformanceTest, Fixture } from "../types.ts";

const ZONE = "cluster.local";
const QUERIER = "dns-querier-1";
const SERVICE = "dns-test-service";
const SELECTOR = { "dns-test": "true" };
const PORTS = [{ name: "http", port: 80, targetPort: 80, protocol: "TCP" }];

const addressType = ({ family }: Fixture): "A" | "AAAA" => (family === 6 ? "AAAA" : "A");

function record(fixture: Fixture, name: string): DnsQuestion {
  return { name, type: name.startsWith("_") ? "SRV" : addressType(fixture) };
}

/** RFC 1035 §3.5, RFC 3596 §2.5. */
function pointer(ip: string): DnsQuestion {
  const { bytes, family } = parseAddr(ip);
  const parts =
    family === 4 ? Array.from(bytes, String) : Array.from(bytes).flatMap((byte) => [(byte >> 4).toString(16), (byte & 15).toString(16)]);
  return { name: `${parts.reverse().join(".")}.${family === 4 ? "in-addr" : "ip6"}.arpa.`, type: "PTR" };
}

async function forCluster(fixture: Fixture): Promise<void> {
  await expectDns(fixture, [record(fixture, `kubernetes.default.svc.${ZONE}`)], { hostname: QUERIER, subdomain: SERVICE });
}

async function hostsEntries(fixture: Fixture): Promise<void> {
  const names = [`${QUERIER}.${SERVICE}.${fixture.namespace}.svc.${ZONE}`, QUERIER];
  await expectDns(
    fixture,
    names.map((name) => ({ name, type: "hosts" })),
    { hostname: QUERIER, subdomain: SERVICE },
  );
}

/** A headless Service and one with a cluster IP, in front of the prober itself. */
async function forServices(fixture: Fixture, namesOf: (headless: string, regular: string) => readonly string[]): Promise<void> {
  await createService(fixture, SERVICE, { clusterIP: "None", selector: SELECTOR, ports: PORTS });
  const regular = await createService(fixture, "test-service-2", { selector: SELECTOR, ports: PORTS });
  const questions = [...namesOf(SERVICE, "test-service-2").map((name) => record(fixture, name)), pointer(clusterIpOf(regular))];
  await expectDns(fixture, questions, { hostname: QUERIER, subdomain: SERVICE, labels: SELECTOR });
}

async function forPods(fixture: Fixture, kind: "hostname" | "subdomain"): Promise<void> {
  const service = "dns-test-service-2";
  const hostname = "dns-querier-2";
  const labels = { [`dns-test-${kind}-attribute`]: "true" };
  const domain = `${service}.${fixture.namespace}.svc.${ZONE}`;
  await createService(fixture, service, { clusterIP: "None", selector: labels, ports: PORTS });
  const questions: DnsQuestion[] =
    kind === "hostname"
      ? [`${hostname}.${domain}`, hostname].map((name) => ({ name, type: "hosts" as const }))
      : [record(fixture, `${hostname}.${domain}`), record(fixture, domain)];
  await expectDns(fixture, questions, { hostname, subdomain: service, labels });
}

async function externalName(fixture: Fixture): Promise<void> {
  const service = "dns-test-service-3";
  const name = `${service}.${fixture.namespace}.svc.${ZONE}`;
  await createService(fixture, service, { type: "ExternalName", externalName: "foo.example.com" });
  await expectDns(fixture, [{ name, type: "CNAME", data: "foo.example.com." }]);
  await changeService(fixture, service, (spec) => ({ ...spec, externalName: "bar.example.com" }));
  await expectDns(fixture, [{ name, type: "CNAME", data: "bar.example.com." }]);
  const changed = await changeService(fixture, service, (spec) => ({
    ...without(spec, "externalName"),
    type: "ClusterIP",
    ports: [{ port: 80, name: "http", protocol: "TCP" }],
  }));
  await expectDns(fixture, [{ name, type: addressType(fixture), data: clusterIpOf(changed) }]);
}

async function nameservers(fixture: Fixture): Promise<void> {
  const dnsConfig = { nameservers: ["1.1.1.1"], searches: ["resolv.conf.local"] };
  await runExecPod(fixture, "test-dns-nameservers", { spec: { dnsPolicy: "None", dnsConfig } });
  const run = (command: string): Promise<string> => fixture.exec("test-dns-nameservers", ["/agnhost", command]);
  assert.match(await run("dns-suffix"), /resolv\.conf\.local/);
  assert.match(await run("dns-server-list"), /1\.1\.1\.1/);
}

export const DNS: readonly ConformanceTest[] = [
  { title: "DNS should provide DNS for the cluster", run: forCluster },
  { title: "DNS should provide /etc/hosts entries for the cluster", run: hostsEntries },
  {
    title: "DNS should provide DNS for services",
    run: (fixture) => {
      const domain = `${fixture.namespace}.svc.${ZONE}`;
      return forServices(fixture, (headless, regular) => [
        `${headless}.${domain}`,
        `_http._tcp.${headless}.${domain}`,
        `_http._tcp.${regular}.${domain}`,
      ]);
    },
  },
  {
    title: "DNS should resolve DNS of partial qualified names for services [LinuxOnly]",
    run: (fixture) => {
      const { namespace } = fixture;
      return forServices(fixture, (headless, regular) => [
        headless,
        `${headless}.${namespace}`,
        `${headless}.${namespace}.svc`,
        `_http._tcp.${headless}.${namespace}.svc`,
        `_http._tcp.${regular}.${namespace}.svc`,
      ]);
    },
  },
  { title: "DNS should provide DNS for pods for Hostname", run: (fixture) => forPods(fixture, "hostname") },
  { title: "DNS should provide DNS for pods for Subdomain", run: (fixture) => forPods(fixture, "subdomain") },
  { title: "DNS should provide DNS for ExternalName services", run: externalName },
  { title: "DNS should support configurable pod DNS nameservers", run: nameservers },
];
