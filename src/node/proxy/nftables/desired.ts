// The table of a node whose proxy has just started, from the objects alone. Pure. A proxy that has been there longer may have given other
// numbers to backends and to service ports that remember their clients, and keeps chains that nothing leads to any more; packets
// cannot tell.
import type { Service } from "kubernetes-types/core/v1";
import type { EndpointSlice } from "kubernetes-types/discovery/v1";
import { keyOf, type Stored } from "#kube";
import type { Table } from "#nft";
import { compileService } from "../compile.ts";
import { Frontends } from "../frontends.ts";
import type { ClusterCidrs, ProxyNode } from "../types.ts";
import { placeFrontend } from "./elements.ts";
import { desiredTable } from "./full.ts";
import { TABLE } from "./layout.ts";
import { Owners } from "./owners.ts";
import { Reading } from "./reading.ts";

export interface ServiceTableInput {
  readonly services: Iterable<Stored<Service>>;
  /** The EndpointSlices of a Service, by its `namespace/name`. */
  readonly slicesOf: (service: string) => Iterable<EndpointSlice>;
  readonly node: ProxyNode;
  readonly cidrs: ClusterCidrs;
}

/** What mode nftables puts into the kernel of `node`. */
export function serviceTable({ services, slicesOf, node, cidrs }: ServiceTableInput): Table {
  const claims = new Frontends();
  for (const service of services) {
    const key = keyOf(service);
    claims.set(key, compileService({ service, slices: slicesOf(key), node }).frontends);
  }
  const owners = new Owners();
  const placed = [...claims.keys()].flatMap((key) => {
    const frontend = claims.get(key);
    return frontend === undefined ? [] : [placeFrontend(frontend, undefined, owners.claim(frontend))];
  });
  return desiredTable(placed, cidrs, { current: { ...TABLE, sets: [], chains: [] }, reading: new Reading() }).table;
}
