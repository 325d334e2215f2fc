import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "#base";
import { parsePrefix } from "#ip";
import { FakeNft } from "#linux/fake";
import { formatTable } from "#nft";
import { compileMasquerade, MASQUERADE_TABLE } from "./masquerade.ts";
import { startMasquerade } from "./masquerade-reconcile.ts";

const POD_CIDRS = ["10.244.0.0/16", "fd00:10:244::/56"].map((text) => parsePrefix(text));

const GOLDEN = `table inet fairlead-masquerade {
	comment "Pods that leave the cluster, by Fairlead"

	set pod-cidrs4 {
		type ipv4_addr
		flags interval
		elements = { 10.244.0.0/16 }
	}

	set pod-cidrs6 {
		type ipv6_addr
		flags interval
		elements = { fd00:10:244::/56 }
	}

	chain nat-postrouting {
		type nat hook postrouting priority srcnat + 1; policy accept;
		meta nfproto ipv4 ip saddr @pod-cidrs4 ip daddr != @pod-cidrs4 ip daddr != 224.0.0.0/4 masquerade fully-random
		meta nfproto ipv6 ip6 saddr @pod-cidrs6 ip6 daddr != @pod-cidrs6 ip6 daddr != ff00::/8 masquerade fully-random
	}
}
`;

test("golden", () => {
  assert.equal(formatTable(compileMasquerade(POD_CIDRS)).trim(), GOLDEN.trim());
});

test("a table that is right is adopted, one that is not is changed, one that is gone is made again", async () => {
  const nft = new FakeNft();
  const run = async (podCidrs = POD_CIDRS): Promise<void> => {
    const masquerade = startMasquerade({ nft, podCidrs, logger: silentLogger });
    await masquerade.ready;
    masquerade.stop();
  };
  await run();
  assert.equal(nft.transactions.length, 1);
  await run();
  assert.equal(nft.transactions.length, 1, "nothing was to be changed");
  const wider = ["10.0.0.0/8"].map((text) => parsePrefix(text));
  await run(wider);
  const table = nft.list(MASQUERADE_TABLE);
  assert.ok(table);
  assert.equal(formatTable(table), formatTable(compileMasquerade(wider)));
  nft.apply([{ op: "delete table", table: MASQUERADE_TABLE }]);
  await run();
  assert.ok(nft.list(MASQUERADE_TABLE));
});
