// What becomes of flows when endpoints change, through IPVS.
import { flowCases } from "../cases/flows.ts";

flowCases("ipvs");
