// Everything with real packets, through iptables-legacy.
import { affinityCases } from "../cases/affinity.ts";
import { policyCases } from "../cases/policies.ts";
import { serviceCases } from "../cases/services.ts";
import { kernelCases } from "./kernel-cases.ts";
import { withVariant } from "./variants.ts";

withVariant("legacy", () => {
  kernelCases();
  serviceCases("iptables");
  policyCases("iptables");
  affinityCases("iptables");
});
