// What a proxy does about what others do to its node: another mode that was there before, and who takes rules away.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ProxyMode } from "../dataplane.ts";
import { connect, type Host, tcp, UdpClient, unlessSilent } from "../fixture.ts";
import { FAMILIES, type Family } from "../fixture-cluster.ts";
import { openIptables } from "../iptables/tool.ts";
import { tracesOf } from "../traces.ts";
import { stage } from "./stage.ts";

export function switchCases(from: ProxyMode, to: ProxyMode): void {
  for (const family of FAMILIES) {
    describe(`from ${from} to ${to} over ${family.name}`, () => {
      const at = stage(from, family, async (cluster) => {
        await cluster.set(1, family, [family.pods[1]]);
      });

      test("clients notice nothing, and nothing of the other mode stays", async () => {
        const { podA, outside, node } = at.fixture;
        const way = { from: podA, to: family.vip(1), port: 80 };
        const [connection, udp] = [await connect(way.from, way.to, way.port), new UdpClient(way.from, way.to, way.port)];
        const ask = async (): Promise<void> => {
          assert.match(await udp.ask(), /^pod-b /);
          // IPVS keeps connections in a table of its own, which goes with it: they are reset.
          const answer = await connection.ask().catch((err: NodeJS.ErrnoException) => err.code);
          if (from !== "ipvs" || answer !== "ECONNRESET") assert.match(answer ?? "", /^pod-b /);
        };
        await ask();
        await underLoad(way, () => at.cluster.restart(to));
        assert.deepEqual(await leftOf(from, node), []);
        await ask();
        assert.match(await tcp(podA, family.vip(1), 80), /^pod-b /);
        assert.match(await tcp(outside, family.node, 30_001), /^pod-b /);
        connection.end();
        udp.close();
      });
    });
  }
}

interface Way {
  readonly from: Host;
  readonly to: string;
  readonly port: number;
}

/** Meanwhile one connection after another is made; each must be answered. */
async function underLoad({ from, to, port }: Way, run: () => Promise<void>): Promise<void> {
  let isOver = false;
  const work = (async (): Promise<void> => {
    do assert.match(await tcp(from, to, port), /^pod-b /);
    while (!isOver);
  })();
  try {
    await run();
  } finally {
    isOver = true;
  }
  await work;
}

/** Signs of a mode, without the empty tables that iptables leaves. */
async function leftOf(mode: ProxyMode, { ns }: Host): Promise<string[]> {
  if (mode !== "iptables") return [...tracesOf(ns)].filter((one) => one === mode);
  const iptables = openIptables(ns);
  const tables = await Promise.all(
    ([4, 6] as const).flatMap((family) => (["nat", "filter"] as const).map((name) => iptables.save(family, name))),
  );
  return tables
    .join("\n")
    .split("\n")
    .filter((line) => line.includes("FL-"));
}

/** `spoil`: what others may do to a node, by what it is called. */
export function spoilCases(mode: ProxyMode, spoil: Readonly<Record<string, (node: Host, family: Family) => Promise<void> | void>>): void {
  for (const family of FAMILIES) {
    describe(`${mode}: rules that somebody takes away, over ${family.name}`, () => {
      const prepare = (cluster: { set(n: number, family: Family, backends: readonly string[]): Promise<void> }): Promise<void> =>
        cluster.set(1, family, [family.pods[1]]);
      const at = stage(mode, family, prepare, { checkEveryMs: 50 });

      for (const [what, run] of Object.entries(spoil)) {
        test(`${what}: they are written again`, async () => {
          const ask = (): Promise<string> => tcp(at.fixture.podA, family.vip(1), 80);
          assert.match(await ask(), /^pod-b /);
          await run(at.fixture.node, family);
          while (!(await unlessSilent(ask())).startsWith("pod-b "));
        });
      }
    });
  }
}
