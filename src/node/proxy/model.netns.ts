// The model against the kernel: what it foresees over what is read from the kernel, and what real packets meet there.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { formatAddr, parseAddr, parsePrefix } from "#ip";
import * as model from "#model";
import { readNetworkState } from "../../app/testing/network-state.ts";
import { clean, PROTOCOLS } from "./cases/stage.ts";
import { Fixture, type Host, unlessSilent } from "./fixture.ts";
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
