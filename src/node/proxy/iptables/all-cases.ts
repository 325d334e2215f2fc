// Everything with real packets in this mode.
import { affinityCases } from "../cases/affinity.ts";
import { flowCases } from "../cases/flows.ts";
import { nodePortAddressCases } from "../cases/node-ports.ts";
import { packetCases } from "../cases/packets.ts";
import { policyCases } from "../cases/policies.ts";
import { serviceCases } from "../cases/services.ts";
import { kernelCases } from "./kernel-cases.ts";

export function allCases(): void {
  kernelCases();
  for (const cases of [serviceCases, policyCases, affinityCases, nodePortAddressCases, flowCases, packetCases]) cases("iptables");
}
