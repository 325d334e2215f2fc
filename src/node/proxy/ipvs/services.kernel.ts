// The cases of every mode, through IPVS. Those of affinity are not among them: it is remembered by address and port here, and its time
// runs otherwise (README.md); edge.kernel.ts has what holds.
import { serviceCases } from "../cases/services.ts";

serviceCases("ipvs");
