// A node that had another proxy mode before, and IPVS that somebody empties, with real packets.
import { openIpvs, openNft, openRoute } from "#linux";
import { spoilCases, switchCases } from "../cases/upkeep.ts";
import { LINK, TABLE } from "./names.ts";

spoilCases("ipvs", {
  "ipvsadm -C"({ ns }) {
    const ipvs = openIpvs(ns);
    ipvs.flush();
    ipvs.close();
  },
  "ip link delete"({ ns }) {
    const route = openRoute(ns);
    route.links.del(LINK);
    route.close();
  },
  "nft flush ruleset"({ ns }) {
    const nft = openNft(ns);
    nft.apply([{ op: "delete table", table: TABLE }]);
    nft.close();
  },
});
switchCases("ipvs", "nftables");
switchCases("nftables", "ipvs");
