// Changes that are too large for one transaction: packets see one step, from what was to what is to be.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { silentLogger } from "#base";
import { createFakeClient, type FakeClient } from "#client/fake";
import { formatAddr, parseAddr } from "#ip";
import { NAMESPACES, NETWORK_POLICIES, PODS } from "#kube";
import { KernelError } from "#linux";
import { FakeNft } from "#linux/fake";
import { type Change, TCP } from "#nft";
import { policy } from "../../core/netpol/testing/objects.ts";
import { diff } from "./diff.ts";
import { TABLE } from "./layout.ts";
import { inParts } from "./parts.ts";
import { startPolicies } from "./start.ts";
import { passes } from "./testing/evaluate.ts";
import type { Policies } from "./types.ts";

const PEERS = 1500;
const SERVER = [parseAddr("10.244.1.1"), parseAddr("fd00::1")];

const addrOf = (namespace: string, n: number): string => `10.${namespace === "y" ? 1 : 2}.${n >> 8}.${n & 255}`;

/** The kernel, of which one transaction holds little; who reaches the server is asked after each. */
class SmallNft extends FakeNft {
  readonly seen: string[] = [];

  constructor() {
    super({ maxBatchBytes: 20_000 });
  }

  override apply(changes: readonly Change[]): void {
    super.apply(changes);
    const said = this.who();
    if (said !== this.seen.at(-1)) this.seen.push(said);
  }

  who(): string {
    const table = this.list(TABLE);
    if (table?.chains.some(({ name }) => name === "postrouting") !== true) return "no table";
    return ["y", "z"]
      .map((namespace) => {
        const at = [0, PEERS >> 1, PEERS - 1].map((n) => parseAddr(addrOf(namespace, n)));
        const [dst = assert.fail()] = SERVER;
        const found = at.map((src) => passes(table, { src, dst, protocol: TCP, port: 80 }));
        return `${namespace}:${[...new Set(found)].join("+")}`;
      })
      .join(" ");
  }
}

let policies: Policies | undefined;
afterEach(() => policies?.stop());

async function cluster(): Promise<{ client: FakeClient; nft: SmallNft }> {
  const client = createFakeClient();
  const nft = new SmallNft();
  for (const name of ["x", "y", "z"]) {
    const labels = { team: name };
    client.seed(NAMESPACES, { apiVersion: "v1", kind: "Namespace", metadata: { name, labels } });
  }
  const pod = (namespace: string, name: string, ips: readonly string[], nodeName: string): string =>
    client.seed(PODS, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { namespace, name, labels: { app: name.split("-")[0] ?? "" } },
      spec: { nodeName, containers: [] },
      status: { phase: "Running", podIPs: ips.map((ip) => ({ ip })) },
    }).metadata.uid;
  for (const namespace of ["y", "z"]) for (let n = 0; n < PEERS; n++) pod(namespace, `peer-${n}`, [addrOf(namespace, n)], "node-2");
  const uid = pod("x", "server", SERVER.map(formatAddr), "node-1");
  policies = startPolicies({ client, nodeName: "node-1", nft, logger: silentLogger });
  policies.open([{ containerId: "server", namespace: "x", name: "server", uid, addrs: SERVER }]);
  await policies.ready;
  return { client, nft };
}

async function until(nft: SmallNft, said: string): Promise<void> {
  while (nft.who() !== said) await new Promise((resolve) => setImmediate(resolve));
}

const from = (team: string) => policy("x/p", { ingress: [{ from: [{ namespaceSelector: { matchLabels: { team } } }] }] });

test("a policy of many peers, another in its place, and a label of a namespace that changes it all", async () => {
  const { client, nft } = await cluster();
  const seed = async (team: string): Promise<void> => {
    const { spec, apiVersion, kind } = from(team);
    const key = { name: "p", namespace: "x" };
    if (team === "z") await client.patch(NETWORK_POLICIES, key, { type: "merge", body: { spec } });
    else client.seed(NETWORK_POLICIES, { apiVersion, kind, metadata: key, ...(spec && { spec }) });
  };
  const label = (name: string, team: string): Promise<unknown> =>
    client.patch(NAMESPACES, { name }, { type: "merge", body: { metadata: { labels: { team } } } });
  await seed("y");
  await until(nft, "y:true z:false");
  await seed("z");
  await until(nft, "y:false z:true");
  const before = nft.transactions.length;
  await label("z", "nobody");
  await until(nft, "y:false z:false");
  await label("y", "z");
  await until(nft, "y:true z:false");
  assert.ok(nft.transactions.length > before + 4, "several transactions each");
  // No state in between, at any time.
  assert.deepEqual(nft.seen, ["y:true z:true", "y:true z:false", "y:false z:true", "y:false z:false", "y:true z:false"]);
  assert.equal(policies?.metrics.sync_failures_total, 0);
  // What is left is what is needed.
  const sets = nft.list(TABLE)?.sets.filter(({ name }) => name.includes("pods4")) ?? [];
  assert.deepEqual(
    sets.map(({ elements }) => elements.length),
    [PEERS],
  );
});

test("the first table: nobody is judged by the half of it", async () => {
  const first = await cluster();
  const { spec, apiVersion, kind } = from("z");
  first.client.seed(NETWORK_POLICIES, { apiVersion, kind, metadata: { name: "p", namespace: "x" }, ...(spec && { spec }) });
  await until(first.nft, "y:false z:true");
  const table = first.nft.list(TABLE) ?? assert.fail();
  const second = new SmallNft();
  const { prepare, change } = inParts(undefined, diff(undefined, table).changes);
  second.applyAll(prepare);
  assert.deepEqual(second.seen, ["no table"]);
  second.apply(change);
  assert.deepEqual(second.seen, ["no table", "y:false z:true"]);
});

test("a kernel without a packet log isolates all the same", async () => {
  class Silent extends FakeNft {
    override apply(changes: readonly Change[]): void {
      const isLog = changes.some((step) => step.op === "add rule" && step.rule.statements.some(({ kind }) => kind === "log"));
      if (isLog) throw new KernelError({ op: "add rule", errno: 2, facts: { change: "add rule" } });
      super.apply(changes);
    }
  }
  const nft = new Silent();
  policies = startPolicies({ client: createFakeClient(), nodeName: "node-1", nft, logger: silentLogger });
  policies.open([]);
  await policies.ready;
  assert.deepEqual(nft.list(TABLE)?.chains.find(({ name }) => name === "unknown")?.rules.length, 1);
});
