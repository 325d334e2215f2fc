// More cases of every mode, through nftables.
import { flowCases } from "../cases/flows.ts";
import { packetCases } from "../cases/packets.ts";

flowCases("nftables");
packetCases("nftables");
