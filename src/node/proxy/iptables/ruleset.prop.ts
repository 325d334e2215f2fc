// Whatever frontends come and go, step by step or all at once: the same tables.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { silentLogger } from "#base";
import { formatAddrPort, parseAddr, parsePrefix } from "#ip";
import { TCP, UDP } from "#nft";
import { frontendKey } from "../compile.ts";
import { createMetrics } from "../metrics.ts";
import { CIDRS } from "../testing.ts";
import type { Backend, Frontend } from "../types.ts";
import { IptablesDataplane } from "./dataplane.ts";
import { FakeIptables } from "./fake-iptables.ts";
import { TABLES } from "./rules.ts";

const BACKENDS: readonly Backend[] = ["10.244.1.2", "10.244.1.3", "10.244.2.2", "10.244.2.3"].map((text, i) => {
  const addr = parseAddr(text);
  return { addr, port: 8080, id: formatAddrPort(addr, 8080), local: i < 2 };
});

const backends = fc.subarray([...BACKENDS]);

/** Few addresses and ports, so that they meet; one service port's frontends may differ in everything. */
const frontend: fc.Arbitrary<Frontend> = fc
  .record(
    {
      kind: fc.constantFrom("ClusterIP", "NodePort", "LoadBalancer", "ExternalIP"),
      addr: fc.constantFrom("10.96.0.1", "10.96.0.2", "10.96.0.17", "172.18.0.11"),
      protocol: fc.constantFrom(TCP, UDP),
      port: fc.constantFrom(80, 81, 30_000, 30_001),
      service: fc.constantFrom("default/a:http", "default/b:http"),
      backends,
      inside: backends,
      whenEmpty: fc.constantFrom("reject", "drop"),
      sources: fc.constantFrom([parsePrefix("198.51.100.0/24")], [parsePrefix("203.0.113.0/24"), parsePrefix("203.0.114.0/24")]),
      affinitySeconds: fc.constantFrom(60, 10_800),
    },
    { requiredKeys: ["kind", "addr", "protocol", "port", "service", "backends", "whenEmpty"] },
  )
  .map(({ addr: text, ...rest }): Frontend => {
    const addr = parseAddr(text);
    return { ...rest, addr, family: 4, key: frontendKey(addr, rest.protocol, rest.port), since: "", draining: [] };
  });

/** Frontends that come, and places in the list of all from which frontends go. */
const step = fc.record({ come: fc.array(frontend, { maxLength: 4 }), go: fc.array(fc.nat(20), { maxLength: 3 }) });

async function saved(iptables: FakeIptables): Promise<string> {
  const texts = await Promise.all(TABLES.map((table) => iptables.save(4, table)));
  return texts.join("");
}

test("step by step comes out as a fresh start does", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 6 }), async (steps) => {
      const options = { netns: undefined, cidrs: CIDRS, metrics: createMetrics(), logger: silentLogger };
      const iptables = new FakeIptables();
      const dataplane = new IptablesDataplane({ ...options, iptables });
      await dataplane.replace([]);
      const all = new Map<string, Frontend>();
      for (const { come, go } of steps) {
        const next = new Map<string, Frontend | undefined>(come.map((each) => [each.key, each]));
        for (const key of go.flatMap((i) => [...all.keys()][i] ?? [])) if (!next.has(key)) next.set(key, undefined);
        await dataplane.update([...next].map(([key, to]) => ({ key, old: all.get(key), next: to })));
        for (const [key, to] of next) {
          if (to === undefined) all.delete(key);
          else all.set(key, to);
        }
        const fresh = new FakeIptables();
        await new IptablesDataplane({ ...options, iptables: fresh }).replace([...all.values()]);
        assert.equal(await saved(iptables), await saved(fresh));
      }
    }),
    { numRuns: 150 },
  );
});
