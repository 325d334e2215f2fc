// The model against the kernel: what it foresees over what is read from the kernel, and what real packets meet there.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { addrEquals, formatAddr, parseAddr, parsePrefix } from "#ip";
import { type ConntrackEntry, openConntrack } from "#linux";
import * as model from "#model";
import { readNetworkState } from "../../app/testing/network-state.ts";
import { clean, PROTOCOLS } from "./cases/stage.ts";
import { Fixture, type Host, udp, unlessSilent } from "./fixture.ts";
import { Cluster, FAMILIES, type Family } from "./fixture-cluster.ts";

/** What the kernel holds, as the model's data. */
function read(fixture: Fixture): model.NetworkState {
  const listeners = ({ addrs, name }: Host): model.Listener[] =>
    [model.TCP, model.UDP].flatMap((protocol) => addrs.map((addr) => ({ protocol, port: 8080, addr, name })));
  return readNetworkState(fixture.hosts.map((host) => ({ ...host, listeners: listeners(host) })));
}

/** As the fixture's clients tell it. */
function foreseen({ result: { outcome } }: model.Branch<model.RoundTrip>): string {
  if (outcome.kind === "answered") return `${outcome.by} ${formatAddr(outcome.seenAs.addr)}`;
  return outcome.kind === "refused" ? "ECONNREFUSED" : "silence";
}

/** Of two equally likely answers one is missed once in 16 million times; of others all the sooner. */
const QUESTIONS = 24;

async function heard(ask: () => Promise<string>, expected: readonly string[]): Promise<string[]> {
  const answers = new Set<string>();
  for (let i = 0; i < QUESTIONS && (answers.size < expected.length || i === 0); i++) answers.add(clean(await unlessSilent(ask())));
  return [...answers].sort();
}

/** IPS_SEEN_REPLY, IPS_CONFIRMED, IPS_*_NAT and IPS_*_NAT_DONE: the others come with time. */
const STATUS = 0x1ba;
const SRC_NAT = 0x10;

/** With its ports, but for one that masquerading has chosen by chance. */
function describeEntry({ original, reply, status }: Pick<ConntrackEntry, "original" | "reply" | "status">): string {
  const text = ({ src, dst, srcPort, dstPort }: ConntrackEntry["reply"], known: boolean): string =>
    `${formatAddr(src)}:${srcPort} > ${formatAddr(dst)}:${known ? dstPort : "any"}`;
  return `${text(original, true)}, ${text(reply, (status & SRC_NAT) === 0)}, status ${(status & STATUS).toString(16)}`;
}

interface Destination {
  readonly what: string;
  readonly addr: string;
  readonly port: number;
}

function destinations({ vip, node, gateway, external, pods, outside }: Family): Destination[] {
  const [podA = "", podB = ""] = pods.map((pod) => pod.slice(0, pod.indexOf("@")));
  const services = [1, 2, 3, 4, 5, 6].flatMap((n) => [
    { what: `service ${n}`, addr: vip(n), port: 80 },
    { what: `node port of ${n}`, addr: node, port: 30_000 + n },
    { what: `load balancer of ${n}`, addr: external(n), port: 80 },
  ]);
  return [
    ...services,
    { what: "a port that no service has", addr: vip(1), port: 81 },
    { what: "an address that no service has", addr: vip(99), port: 80 },
    ...[podA, podB, node, outside].flatMap((addr) => [
      { what: addr, addr, port: 8080 },
      { what: `${addr}, closed port`, addr, port: 9999 },
    ]),
    { what: "the gateway", addr: gateway, port: 8080 },
  ];
}

for (const family of FAMILIES) {
  describe(`the model and the kernel agree over ${family.name}`, () => {
    let fixture: Fixture;
    let cluster: Cluster;
    let network: model.Network;
    before(async () => {
      fixture = new Fixture();
      for (const host of fixture.hosts) fixture.serve(host, 8080);
      const { outside, node } = fixture;
      for (const text of ["10.96.0.0/16", "fd00:10:96::/112", "10.244.1.0/24", "fd00:10:244:1::/64"]) {
        const dst = parsePrefix(text);
        const via = node.addrs[dst.addr.family === 4 ? 0 : 1];
        outside.route.routes.set({ dst, nextHops: [{ via, link: "eth0" }] });
      }
      cluster = await Cluster.start(fixture);
      const [podA, podB] = family.pods;
      const elsewhere = family.index === 0 ? "10.244.9.9@node-9" : "fd00:10:244:9::9@node-9";
      const ips = (n: number): { ips: string[] } => ({ ips: [family.external(n)] });
      await cluster.set(1, family, [podA, podB], { type: "LoadBalancer", ...ips(1) });
      await cluster.set(2, family, [podB], { type: "LoadBalancer", externalTrafficPolicy: "Local", ...ips(2) });
      await cluster.set(3, family, [], { type: "LoadBalancer", ...ips(3) });
      await cluster.set(4, family, [elsewhere], { type: "LoadBalancer", externalTrafficPolicy: "Local", ...ips(4) });
      const ranges = { loadBalancerSourceRanges: [family.index === 0 ? "10.244.1.2/32" : "fd00:10:244:1::2/128"] };
      await cluster.set(5, family, [podA], { type: "LoadBalancer", ...ranges, ...ips(5) });
      await cluster.set(6, family, [podA, podB], { type: "LoadBalancer", internalTrafficPolicy: "Local", ...ips(6) });
      // Neighbours that the kernel does not know yet it finds as the model does; those that it failed to find it would ask again.
      network = model.prepareNetwork(read(fixture));
    });
    after(async () => {
      await cluster.remove();
      fixture.close();
    });

    test("connections are remembered alike: both tuples, and what was done to them", async () => {
      const { vip, node, external } = family;
      const single = [
        { addr: vip(2), port: 80 },
        { addr: node, port: 30_002 },
        { addr: external(2), port: 80 },
      ];
      const conntrack = openConntrack(fixture.node.ns);
      const differences: string[] = [];
      for (const name of ["podA", "podB", "outside"] as const) {
        for (const { addr, port } of single) {
          const dst = parseAddr(addr);
          const from = fixture[name];
          await udp(from, addr, port);
          const src = from.addrs[family.index];
          const isMine = ({ original }: ConntrackEntry): boolean =>
            original.protocol === model.UDP && addrEquals(original.src, src) && addrEquals(original.dst, dst) && original.dstPort === port;
          // The last one made is the last one listed of those that the walks above have left.
          const kernel = conntrack.list(family.index === 0 ? 4 : 6).findLast(isMine);
          assert.ok(kernel !== undefined, `${name} to ${addr}: the kernel remembers nothing`);
          const question = { from: from.name, protocol: model.UDP, dst, dstPort: port, srcPort: kernel.original.srcPort };
          const { memory } = model.roundTrip(network, question, Math.random, { remember: true });
          const foreseenEntry = memory?.conntrack["node"]?.find(({ original }) => addrEquals(original.dst, dst));
          const [expected, actual] = [foreseenEntry, kernel].map((entry) => entry && describeEntry(entry));
          if (expected !== actual) differences.push(`${name} to ${addr}: the model says ${expected}, the kernel ${actual}`);
        }
      }
      conntrack.close();
      assert.deepEqual(differences, []);
    });

    for (const [protocol, ask] of PROTOCOLS) {
      for (const name of ["podA", "podB", "node", "outside"] as const) {
        test(`${protocol} from ${name}`, async () => {
          const from = fixture[name];
          const disagreements: string[] = [];
          for (const { what, addr, port } of destinations(family)) {
            const dst = parseAddr(addr);
            const question = { from: from.name, protocol: protocol === "TCP" ? model.TCP : model.UDP, dst, dstPort: port };
            const branches = model.roundTrips(network, question);
            const expected = [...new Set(branches.map(foreseen))].sort();
            const observed = await heard(() => ask(from, addr, port), expected);
            if (observed.join() !== expected.join()) {
              const walks = branches.map(({ result }) => model.formatRoundTrip(result)).join("\n");
              disagreements.push(`${what}: the model says ${expected.join(" or ")}, the kernel ${observed.join(" or ")}\n${walks}`);
            }
          }
          assert.deepEqual(disagreements, []);
        });
      }
    }
  });
}
