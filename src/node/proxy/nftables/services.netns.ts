// The cases of every mode, through nftables.
import { policyCases } from "../cases/policies.ts";
import { serviceCases } from "../cases/services.ts";

serviceCases("nftables");
policyCases("nftables");
