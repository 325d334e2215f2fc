// Packets that are not the usual ones, through IPVS.
import { packetCases } from "../cases/packets.ts";

packetCases("ipvs");
