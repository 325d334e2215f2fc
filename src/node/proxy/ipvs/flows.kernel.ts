// What becomes of flows when endpoints change, through IPVS. Unusual packets are not among them: see README.md.
import { flowCases } from "../cases/flows.ts";

flowCases("ipvs");
