// Everything with real packets, through iptables-nft.
import { allCases } from "./all-cases.ts";
import { withVariant } from "./variants.ts";

withVariant("nft", allCases);
