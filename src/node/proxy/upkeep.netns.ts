// A node that had another proxy mode before, and rules that somebody takes away, with real packets.
import { test } from "node:test";
import { errorMessage } from "#base";
import { openNft } from "#linux";
import { spoilCases, switchCases } from "./cases/upkeep.ts";
import { openIptables } from "./iptables/tool.ts";
import { checkMode } from "./modes.ts";
import { SETS, TABLE } from "./nftables/layout.ts";

spoilCases("nftables", {
  "nft flush ruleset"({ ns }) {
    const nft = openNft(ns, { isStranger: true });
    nft.apply([{ op: "delete table", table: TABLE }]);
    nft.close();
  },
  "nft flush set"({ ns }, { index }) {
    const nft = openNft(ns, { isStranger: true });
    const set = SETS[index === 0 ? 4 : 6].services;
    nft.apply([{ op: "delete elements", table: TABLE, set, elements: nft.elements(TABLE, set) }]);
    nft.close();
  },
});

try {
  checkMode("iptables");
  const flush = (table: string, how: string): string => `*${table}\n${how}\nCOMMIT\n`;
  spoilCases("iptables", {
    "iptables -F -t nat": ({ ns }, { index }) => openIptables(ns).restore(index === 0 ? 4 : 6, flush("nat", "-F")),
    "iptables -F and -X, of both tables": ({ ns }, { index }) =>
      openIptables(ns).restore(index === 0 ? 4 : 6, flush("nat", "-F\n-X") + flush("filter", "-F\n-X")),
  });
  switchCases("nftables", "iptables");
  switchCases("iptables", "nftables");
} catch (err) {
  test("iptables", { skip: errorMessage(err) }, () => {});
}
