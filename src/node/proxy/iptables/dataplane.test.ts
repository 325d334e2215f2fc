import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import type { Service } from "kubernetes-types/core/v1";
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import { silentLogger } from "#base";
import { compileService } from "../compile.ts";
import type { FrontendUpdate } from "../dataplane.ts";
import { createMetrics } from "../metrics.ts";
import { CIDRS, NODE, type PortSpec, service, slice } from "../testing.ts";
import type { Frontend } from "../types.ts";
import { IptablesDataplane } from "./dataplane.ts";
import { FakeIptables } from "./fake-iptables.ts";
import { ENTRIES } from "./frame.ts";
import { TABLES } from "./rules.ts";

const HTTP: readonly PortSpec[] = [{ name: "http", port: 80, targetPort: 8080 }];
const BOTH: readonly PortSpec[] = [
  { name: "http", port: 80, targetPort: 8080, nodePort: 30_080 },
  { name: "dns", port: 53, protocol: "UDP", targetPort: 53 },
];
const KEPT: readonly PortSpec[] = [{ name: "http", port: 80, targetPort: 8080, nodePort: 30_081 }];

function open(iptables: FakeIptables): IptablesDataplane {
  return new IptablesDataplane({ iptables, netns: undefined, cidrs: CIDRS, metrics: createMetrics(), logger: silentLogger });
}

function frontendsOf(...objects: readonly (Service | EndpointSlice)[]): Frontend[] {
  const services = objects.filter((object): object is Service => object.kind === "Service");
  const slices = objects.filter((object): object is EndpointSlice => object.kind === "EndpointSlice");
  return services.flatMap((each) => {
    const own = slices.filter(({ metadata }) => metadata?.labels?.["kubernetes.io/service-name"] === each.metadata?.name);
    return compileService({ service: each, slices: own, node: NODE }).frontends;
  });
}

/** From what frontends are to what they should be. */
function updates(old: readonly Frontend[], next: readonly Frontend[]): FrontendUpdate[] {
  const keys = new Set([...old, ...next].map(({ key }) => key));
  const find = (list: readonly Frontend[], key: string): Frontend | undefined => list.find((frontend) => frontend.key === key);
  return [...keys].map((key) => ({ key, old: find(old, key), next: find(next, key) }));
}

async function saved(iptables: FakeIptables): Promise<string> {
  const parts: string[] = [];
  for (const family of [4, 6] as const) {
    for (const table of TABLES) parts.push(`# IPv${family}\n${await iptables.save(family, table)}`);
  }
  return parts.join("");
}

const web = (...pods: readonly string[]): Frontend[] => frontendsOf(service("web", ["10.96.0.1"], HTTP), slice("web", pods, HTTP));

test("golden: the rules of a few services", async () => {
  const iptables = new FakeIptables();
  const frontends = frontendsOf(
    service("web", ["10.96.0.1", "fd00:10:96::1"], BOTH),
    slice("web", ["10.244.1.2@node-1", "10.244.2.2@node-2"], BOTH),
    slice("web", ["fd00:10:244:2::2@node-2"], BOTH, "6"),
    service("sticky", ["10.96.0.2"], HTTP, { sessionAffinity: "ClientIP" }),
    slice("sticky", ["10.244.1.3@node-1", "10.244.2.3@node-2"], HTTP),
    service("empty", ["10.96.0.3"], HTTP),
    service("local", ["10.96.0.4"], HTTP, { internalTrafficPolicy: "Local" }),
    slice("local", ["10.244.2.3@node-2"], HTTP),
    service("kept", ["10.96.0.5"], KEPT, { externalTrafficPolicy: "Local" }),
    slice("kept", ["10.244.1.4@node-1", "10.244.2.4@node-2"], KEPT),
    {
      ...service("lb", ["10.96.0.6"], HTTP, { type: "LoadBalancer", loadBalancerSourceRanges: ["198.51.100.0/24", "203.0.113.9/32"] }),
      status: { loadBalancer: { ingress: [{ ip: "192.0.2.1" }] } },
    },
    slice("lb", ["10.244.2.4@node-2"], HTTP),
    service("sctp", ["10.96.1.7"], [{ port: 80, protocol: "SCTP" }]),
    slice("sctp", ["10.244.2.1@b", "10.244.2.2@b", "10.244.2.3@b"], [{ port: 80, protocol: "SCTP" }]),
  );
  await open(iptables).replace(frontends);
  const golden = new URL("services.iptables", import.meta.url);
  assert.equal(await saved(iptables), readFileSync(golden, "utf8"));
});

test("another endpoint writes the chain of its service and no other", async () => {
  const iptables = new FakeIptables();
  const dataplane = open(iptables);
  const other = frontendsOf(service("other", ["10.96.0.2"], HTTP), slice("other", ["10.244.2.9@node-2"], HTTP));
  await dataplane.replace([...web("10.244.2.2@node-2"), ...other]);
  const before = iptables.restored.length;
  await dataplane.update(updates(web("10.244.2.2@node-2"), web("10.244.2.2@node-2", "10.244.2.3@node-2")));
  assert.equal(iptables.restored.length, before + 1);
  const chain = /^:(FL-SVC-\w+)/m.exec(iptables.restored.at(-1)?.text ?? "")?.[1];
  assert.deepEqual(iptables.restored.at(-1)?.text.trimEnd().split("\n"), [
    "*nat",
    `:${chain} - [0:0]`,
    `-A ${chain} -d 10.96.0.1/32 -p tcp -m tcp --dport 80 -j FL-FROM-OUTSIDE`,
    `-A ${chain} -p tcp -m statistic --mode random --probability 0.50000000000 -j DNAT --to-destination 10.244.2.2:8080`,
    `-A ${chain} -p tcp -j DNAT --to-destination 10.244.2.3:8080`,
    "COMMIT",
  ]);
});

test("one more service among 1,000 writes its own chain and the branch it is on", async () => {
  const iptables = new FakeIptables();
  const dataplane = open(iptables);
  const one = (n: number): Frontend[] =>
    frontendsOf(service(`s${n}`, [`10.96.${n >> 8}.${n & 255}`], HTTP), slice(`s${n}`, ["10.244.2.2@b"], HTTP));
  const many = Array.from({ length: 1000 }, (_, n) => one(n)).flat();
  await dataplane.replace(many);
  const before = iptables.restored.length;
  await dataplane.update(updates([], one(1001)));
  const lines = iptables.restored.slice(before).flatMap(({ text }) => text.trimEnd().split("\n"));
  assert.deepEqual(
    lines.filter((line) => line.startsWith(":")).map((line) => line.slice(0, 6)),
    [":FL-NE", ":FL-NE", ":FL-SV"],
  );
  assert.ok(lines.length < 40, `${lines.length} lines`);
});

test("no packet is compared with more than 16 rules for one step of its way to one of 2,768 services", async () => {
  const iptables = new FakeIptables();
  const many = Array.from({ length: 2768 }, (_, n) => {
    const port = { name: "http", port: 80, targetPort: 8080, nodePort: 30_000 + n };
    return frontendsOf(service(`s${n}`, [`10.96.${n >> 8}.${n & 255}`], [port]), slice(`s${n}`, ["10.244.2.2@b"], HTTP));
  }).flat();
  await open(iptables).replace(many);
  const lengths = new Map<string, number>();
  for (const line of (await iptables.save(4, "nat")).split("\n")) {
    const chain = /^-A (FL-(?:NET|PORT|SERVICES)\S*)/.exec(line)?.[1];
    if (chain !== undefined) lengths.set(chain, (lengths.get(chain) ?? 0) + 1);
  }
  assert.equal(Math.max(...lengths.values()), 16);
});

test("a restart writes nothing, and other people's rules stay as they are", async () => {
  const iptables = new FakeIptables();
  const foreign = '*nat\n:DOCKER - [0:0]\n-A PREROUTING -m comment --comment "to FL-X" -j DOCKER\n-A DOCKER -j RETURN\nCOMMIT\n';
  await iptables.restore(4, foreign);
  const before = await saved(iptables);
  assert.equal((await open(iptables).replace(web("10.244.1.2@node-1"))).adopted, false);
  assert.match(await iptables.save(4, "nat"), /-A PREROUTING .*FL-SERVICES\n-A PREROUTING .*DOCKER\n/);
  const programmed = await saved(iptables);
  const restarted = open(iptables);
  assert.deepEqual(await restarted.replace(web("10.244.1.2@node-1")), { changes: 0, adopted: true });
  assert.equal(await saved(iptables), programmed);
  await restarted.remove();
  assert.equal(await saved(iptables), before);
  const writes = iptables.restored.length;
  await restarted.remove();
  assert.equal(iptables.restored.length, writes);
});

test("what differs is put right: changed, missing, left-over and doubled rules", async () => {
  const iptables = new FakeIptables();
  await open(iptables).replace(web("10.244.1.2@node-1"));
  const wanted = await saved(iptables);
  const lead = /-A (PREROUTING .*FL-SERVICES)\n/.exec(await iptables.save(4, "nat"))?.[1];
  const outLead = /-A (OUTPUT .*FL-FILTER)\n/.exec(await iptables.save(4, "filter"))?.[1];
  const chain = /:(FL-SVC-\w+)/.exec(wanted)?.[1];
  const damage = [":FL-SVC-OLD - [0:0]", "-A FL-SVC-OLD -j FL-SERVICES", "-A OUTPUT -j FL-SVC-OLD", `-A ${lead}`, `:${chain} - [0:0]`];
  await iptables.restore(4, `*nat\n${damage.join("\n")}\nCOMMIT\n*filter\n-D ${outLead}\n:FL-REFUSE - [0:0]\nCOMMIT\n`);
  assert.notEqual(await saved(iptables), wanted);
  assert.equal((await open(iptables).replace(web("10.244.1.2@node-1"))).adopted, true);
  assert.equal(await saved(iptables), wanted);
});

test("after a failure everything is compared again; what one family cannot have, the other gets", async () => {
  const iptables = new FakeIptables();
  const dataplane = open(iptables);
  await dataplane.replace([]);
  iptables.failNext = "IptablesRestore";
  await assert.rejects(dataplane.update(updates([], web("10.244.1.2@node-1"))), /failed as told/);
  await dataplane.replace(web("10.244.1.2@node-1"));
  const other = new FakeIptables();
  await open(other).replace(web("10.244.1.2@node-1"));
  assert.equal(await saved(iptables), await saved(other));

  const half = new FakeIptables();
  half.failNext = "IptablesRestore";
  await assert.rejects(open(half).replace(web("10.244.1.2@node-1")), /failed as told/);
  assert.match(await half.save(6, "nat"), /FL-SERVICES/);
});

test("what is too long for the kernel goes in steps, of which each leaves a table that works", async () => {
  const many = Array.from({ length: 300 }, (_, n) => {
    const objects = [service(`s${n}`, [`10.96.${n >> 8}.${n & 255}`], KEPT), slice(`s${n}`, ["10.244.1.2@node-1"], KEPT)] as const;
    return frontendsOf(...objects);
  }).flat();
  const whole = new FakeIptables();
  await open(whole).replace(many);
  const steps = new FakeIptables();
  steps.maxLines = 210;
  const dataplane = open(steps);
  await dataplane.replace(many);
  assert.equal(await saved(steps), await saved(whole));
  // The fake refuses every step after which a rule leads nowhere.
  assert.ok(steps.restored.some(({ text }) => (text.match(/COMMIT/g) ?? []).length > 3));
  await dataplane.remove();
  assert.equal(await saved(steps), await saved(new FakeIptables()));
});

test("rules are counted, all of them and those of the last step", async () => {
  const iptables = new FakeIptables();
  const metrics = createMetrics();
  const dataplane = new IptablesDataplane({ iptables, netns: undefined, cidrs: CIDRS, metrics, logger: silentLogger });
  const rules = async (): Promise<number> => (await iptables.save(4, "nat")).split("\n").filter((line) => line.startsWith("-A FL-")).length;
  await dataplane.replace(web("10.244.2.2@b"));
  const { nat } = metrics.sync_proxy_rules_iptables[4];
  assert.deepEqual(nat, { total: await rules(), last: await rules() });
  await dataplane.update(updates(web("10.244.2.2@b"), web("10.244.2.2@b", "10.244.2.3@b")));
  assert.deepEqual(nat, { total: await rules(), last: 3 });
  await dataplane.update(updates(web("10.244.2.2@b", "10.244.2.3@b"), []));
  assert.deepEqual(nat, { total: await rules(), last: 0 });
});

test("a machine without IPv6 needs no ip6tables as long as the cluster has none", async () => {
  class OnlyV4 extends FakeIptables {
    override save(...args: Parameters<FakeIptables["save"]>): Promise<string> {
      return args[0] === 6 ? Promise.reject(new Error("no such table")) : super.save(...args);
    }
  }
  const iptables = new OnlyV4();
  const [podCidr, podCidr6] = CIDRS.podCidrs;
  assert.ok(podCidr && podCidr6);
  const options = { iptables, netns: undefined, metrics: createMetrics(), logger: silentLogger };
  const dataplane = new IptablesDataplane({ ...options, cidrs: { podCidrs: [podCidr], serviceCidrs: [] } });
  await dataplane.replace(web("10.244.1.2@node-1"));
  await dataplane.remove();
  const dual = new IptablesDataplane({ ...options, cidrs: { podCidrs: [podCidr, podCidr6], serviceCidrs: [] } });
  await assert.rejects(dual.replace([]), /no such table/);
  const late = frontendsOf(service("late", ["fd00:10:96::1"], HTTP));
  await assert.rejects(dataplane.update(updates([], late)), /IPv6 are not known/);
  await assert.rejects(dataplane.replace(late), /no such table/);
});

test("it is intact while all ways into its chains are there, in both tables and families", async () => {
  const iptables = new FakeIptables();
  const dataplane = open(iptables);
  const frontends = web("10.244.1.2@node-1");
  await dataplane.replace(frontends);
  assert.ok(await dataplane.isIntact());
  for (const family of [4, 6] as const) {
    for (const table of TABLES) {
      for (const { chain, rule } of ENTRIES[table]) {
        await iptables.restore(family, `*${table}\n-D ${chain} ${rule}\nCOMMIT\n`);
        assert.equal(await dataplane.isIntact(), false, chain);
        await dataplane.replace(frontends);
        assert.ok(await dataplane.isIntact());
      }
    }
  }
});
