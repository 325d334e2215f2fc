// The cases of every mode, through IPVS. In a file of its own, because in the machine for other kernels all takes long.
import { policyCases } from "../cases/policies.ts";

policyCases("ipvs");
