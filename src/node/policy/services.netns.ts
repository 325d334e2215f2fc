import { withVariant } from "../proxy/iptables/variants.ts";
import { serviceCases } from "./testing/service-cases.ts";

serviceCases("nftables");
withVariant("nft", () => serviceCases("iptables"));
