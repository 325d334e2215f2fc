// Everything with real packets, through iptables-legacy.
import { allCases } from "./all-cases.ts";
import { withVariant } from "./variants.ts";

withVariant("legacy", allCases);
