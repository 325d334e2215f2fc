// A dataplane of this mode over fakes, and what it holds as lines of text.
import { silentLogger } from "#base";
import { formatPrefix } from "#ip";
import type { NetNs, RouteSocket } from "#linux";
import { FakeIpvs, FakeKernel, FakeNft } from "#linux/fake";
import { formatElement } from "#nft";
import { CIDRS } from "../testing.ts";
import { destinationId, serverId } from "./compile.ts";
import { IpvsDataplane } from "./dataplane.ts";
import { TABLE } from "./names.ts";

export class Machine {
  readonly ipvs: FakeIpvs = new FakeIpvs();
  readonly nft: FakeNft = new FakeNft();
  readonly route: RouteSocket;
  readonly netns: NetNs;

  constructor() {
    const kernel = new FakeKernel();
    this.netns = kernel.netns.createAnonymous();
    this.route = kernel.openRoute(this.netns);
  }

  open(): IpvsDataplane {
    const { ipvs, nft, route, netns } = this;
    return new IpvsDataplane({ ipvs, nft, route, netns, cidrs: CIDRS, logger: silentLogger });
  }

  /** `service [persistent] -> destination weight, …`, sorted. */
  servers(): string[] {
    return this.ipvs
      .services()
      .map((service) => {
        const destinations = this.ipvs.destinations(service).map((each) => `${destinationId(each)} ${each.weight}`);
        const kind = service.persistence === undefined ? service.scheduler : `${service.scheduler} ${service.persistence.timeoutSeconds}s`;
        return `${serverId(service)} ${kind} -> ${destinations.sort().join(", ")}`;
      })
      .sort();
  }

  /** Local routes to our link. */
  bound(): string[] {
    return this.route.routes
      .list({ table: 255, protocol: 202 })
      .map(({ dst }) => formatPrefix(dst))
      .sort();
  }

  /** Elements by set, those of CIDRs left out. */
  elements(): Record<string, string[]> {
    const sets = (this.nft.list(TABLE)?.sets ?? []).filter(({ name, elements }) => elements.length > 0 && !name.includes("cidrs"));
    return Object.fromEntries(sets.map((set) => [set.name, set.elements.map((element) => formatElement(set, element)).sort()]));
  }

  /** All of it. */
  holds(): unknown {
    return { servers: this.servers(), bound: this.bound(), elements: this.elements() };
  }
}
