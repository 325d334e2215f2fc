// The cases of every mode, through IPVS.
import { policyCases } from "../cases/policies.ts";
import { serviceCases } from "../cases/services.ts";

serviceCases("ipvs");
policyCases("ipvs");
