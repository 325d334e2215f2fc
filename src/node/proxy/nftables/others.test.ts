// When a proxy reads its whole table again because somebody else has written to nftables.
import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { silentLogger } from "#base";
import { parseAddr } from "#ip";
import { FakeNft } from "#linux/fake";
import { compileService } from "../compile.ts";
import { createMetrics } from "../metrics.ts";
import { CIDRS, NODE, service, slice } from "../testing.ts";
import type { Frontend } from "../types.ts";
import { NftablesDataplane } from "./dataplane.ts";
import { SETS, TABLE } from "./layout.ts";

const HTTP = [{ name: "http", port: 80, targetPort: 8080 }];

function frontends(): readonly Frontend[] {
  const slices = [slice("web", ["10.244.1.2@a", "10.244.1.3@a"], HTTP)];
  return compileService({ service: service("web", ["10.96.0.1"], HTTP), slices, node: NODE }).frontends;
}

function open(): { readonly nft: FakeNft; readonly dataplane: NftablesDataplane } {
  const nft = new FakeNft();
  return { nft, dataplane: new NftablesDataplane({ nft, cidrs: CIDRS, metrics: createMetrics(), logger: silentLogger }) };
}

test("not for what is written here, once for what others write", async () => {
  const { nft, dataplane } = open();
  assert.equal(dataplane.mayBeOther(), false);
  await dataplane.replace(frontends());
  nft.apply([{ op: "add table", table: { family: "inet", name: "ours-too" } }]);
  assert.equal(dataplane.mayBeOther(), false);
  const set = SETS[4].clusterIps;
  const element = { key: [parseAddr("10.96.0.1")] };
  nft.apply([{ op: "delete elements", table: TABLE, set, elements: [element] }]);
  nft.others++;
  assert.equal(dataplane.mayBeOther(), true);
  const { changes } = await dataplane.replace(frontends());
  assert.deepEqual([changes, nft.elements(TABLE, set).length, dataplane.mayBeOther()], [1, 1, false]);
  dataplane.close();
});

test("what others write while it is compared counts for the next time", async () => {
  const { nft, dataplane } = open();
  await dataplane.replace(frontends());
  const list = mock.method(nft, "list", (...args: Parameters<FakeNft["list"]>) => {
    nft.others++;
    return FakeNft.prototype.list.apply(nft, args);
  });
  await dataplane.replace(frontends());
  assert.equal(dataplane.mayBeOther(), true);
  list.mock.restore();
  await dataplane.replace(frontends());
  assert.equal(dataplane.mayBeOther(), false);
  dataplane.close();
});

test("not where reading the table takes long", async () => {
  const { nft, dataplane } = open();
  const [frontend] = frontends();
  assert.ok(frontend?.backends[0]);
  const { addr } = frontend.backends[0];
  const [first] = frontend.backends;
  const backends = Array.from({ length: 20_000 }, (_, i) => ({ ...first, addr, port: 1 + i, id: `${i}` }));
  await dataplane.replace([{ ...frontend, backends }]);
  nft.others++;
  assert.equal(dataplane.mayBeOther(), false);
  dataplane.close();
});
