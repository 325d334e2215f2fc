// The cases with real packets, through whatever iptables the machine has.
import { policyCases } from "../cases/policies.ts";
import { serviceCases } from "../cases/services.ts";

serviceCases("iptables");
policyCases("iptables");
