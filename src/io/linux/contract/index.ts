import { addressContract } from "./addrs.ts";
import { bridgeContract, linkChangeContract, linkContract, linkKindContract, moreLinkKindContract } from "./links.ts";
import { fdbContract, neighContract } from "./neighs.ts";
import { netnsContract } from "./netns.ts";
import type { Network } from "./network.ts";
import { lookupContract, routeBatchAndRuleContract, routeContract, routeRefusalContract, routeReplaceContract } from "./routes.ts";
import { watchContract } from "./watch.ts";

/** Defines the tests of everything that kernel and fake share. */
export function networkContract(network: Network): void {
  for (const contract of [
    netnsContract,
    linkContract,
    bridgeContract,
    linkChangeContract,
    linkKindContract,
    moreLinkKindContract,
    addressContract,
    routeContract,
    routeReplaceContract,
    routeRefusalContract,
    lookupContract,
    routeBatchAndRuleContract,
    neighContract,
    fdbContract,
    watchContract,
  ])
    contract(network);
}
