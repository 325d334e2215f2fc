// The cases of every mode, through nftables.
import { affinityCases } from "../cases/affinity.ts";
import { nodePortAddressCases } from "../cases/node-ports.ts";
import { policyCases } from "../cases/policies.ts";
import { serviceCases } from "../cases/services.ts";

serviceCases("nftables");
policyCases("nftables");
affinityCases("nftables");
nodePortAddressCases("nftables");
