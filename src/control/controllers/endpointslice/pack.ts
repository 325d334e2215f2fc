// How endpoints are put into slices, touching as few slices as possible: every proxy of the cluster hears of each slice that changes
// (kubernetes `staging/src/k8s.io/endpointslice/reconciler.go`; KEP-752).
import { isDeepStrictEqual } from "node:util";
import type { Endpoint, EndpointPort } from "kubernetes-types/discovery/v1";

const MAX_ENDPOINTS_PER_SLICE = 100;

/** A slice as far as packing is concerned; `id` is whatever tells existing slices apart. */
export interface Packed {
  readonly ports: readonly EndpointPort[];
  readonly endpoints: readonly Endpoint[];
}

export interface ExistingSlice extends Packed {
  readonly id: string;
}

/** All endpoints that have the same ports. */
export type PortGroup = Packed;

export interface PackPlan {
  readonly create: readonly Packed[];
  readonly update: ReadonlyMap<string, Packed>;
  readonly remove: readonly string[];
}

/** Groups by resolved ports, in the order in which groups come up. */
export function groupByPorts(entries: readonly { ports: readonly EndpointPort[]; endpoint: Endpoint }[]): PortGroup[] {
  const groups = new Map<string, { ports: readonly EndpointPort[]; endpoints: Endpoint[] }>();
  for (const { ports, endpoint } of entries) {
    const key = portsKey(ports);
    let group = groups.get(key);
    if (group === undefined) {
      group = { ports, endpoints: [] };
      groups.set(key, group);
    }
    group.endpoints.push(endpoint);
  }
  return [...groups.values()];
}

export function portsKey(ports: readonly EndpointPort[]): string {
  return ports
    .map(({ name, port, protocol, appProtocol }) => JSON.stringify([name ?? "", port, protocol ?? "TCP", appProtocol]))
    .sort()
    .join();
}

interface Draft {
  readonly id: string;
  readonly ports: readonly EndpointPort[];
  endpoints: Endpoint[];
  isChanged: boolean;
}

/**
 * Existing slices keep the endpoints that are still wanted, and take new ones where they change anyway; then new ones fill one
 * other slice, if they all fit; the rest gets slices of its own. Slices that are no longer needed are used for new ones. Without any
 * endpoint there is one empty slice, so that the Service can be seen to have none.
 */
export function packSlices(
  groups: readonly PortGroup[],
  existing: readonly ExistingSlice[],
  max: number = MAX_ENDPOINTS_PER_SLICE,
): PackPlan {
  const wanted = groups.length === 0 ? [{ ports: [], endpoints: [] }] : groups;
  const create: Packed[] = [];
  const update = new Map<string, Packed>();
  const unused: string[] = [];
  const byPorts = new Map<string, ExistingSlice[]>();
  for (const slice of existing) {
    const key = portsKey(slice.ports);
    byPorts.set(key, [...(byPorts.get(key) ?? []), slice]);
  }
  for (const group of wanted) {
    const key = portsKey(group.ports);
    const packed = packGroup(group, byPorts.get(key) ?? [], max);
    byPorts.delete(key);
    create.push(...packed.create);
    unused.push(...packed.unused);
    for (const draft of packed.update) update.set(draft.id, { ports: draft.ports, endpoints: draft.endpoints });
  }
  for (const slices of byPorts.values()) unused.push(...slices.map((slice) => slice.id));
  // Ports may change in place; a slice that stays is one event for its watchers, a deletion and a creation are two.
  for (const packed of create.splice(0, unused.length)) update.set(unused.shift() ?? "", packed);
  return { create, update, remove: unused };
}

function packGroup(
  group: PortGroup,
  existing: readonly ExistingSlice[],
  max: number,
): { create: Packed[]; update: Draft[]; unused: string[] } {
  const missing = new Map(group.endpoints.map((endpoint) => [endpointKey(endpoint), endpoint]));
  const drafts = existing.map((slice) => keepWanted(slice, missing));
  if (group.endpoints.length === 0) return packNothing(group, drafts);
  const kept = drafts.filter((draft) => draft.endpoints.length > 0);
  const unused = drafts.filter((draft) => draft.endpoints.length === 0).map((draft) => draft.id);
  const rest = [...missing.values()];
  const changed = kept.filter((draft) => draft.isChanged).sort((a, b) => b.endpoints.length - a.endpoints.length);
  for (const draft of changed) draft.endpoints.push(...rest.splice(0, max - draft.endpoints.length));
  const host =
    rest.length === 0
      ? undefined
      : fittest(
          kept.filter((draft) => !draft.isChanged),
          rest.length,
          max,
        );
  if (host !== undefined) {
    host.endpoints.push(...rest.splice(0));
    host.isChanged = true;
  }
  const create: Packed[] = [];
  while (rest.length > 0) create.push({ ports: group.ports, endpoints: rest.splice(0, max) });
  return { create, update: kept.filter((draft) => draft.isChanged), unused };
}

/** One empty slice stays or is made. */
function packNothing(group: PortGroup, drafts: readonly Draft[]): { create: Packed[]; update: Draft[]; unused: string[] } {
  const [first, ...others] = drafts;
  const unused = others.map((draft) => draft.id);
  if (first === undefined) return { create: [{ ports: group.ports, endpoints: [] }], update: [], unused };
  return { create: [], update: first.isChanged ? [first] : [], unused };
}

/** What stays in a slice; takes it out of `missing`. */
function keepWanted(slice: ExistingSlice, missing: Map<string, Endpoint>): Draft {
  const draft: Draft = { id: slice.id, ports: slice.ports, endpoints: [], isChanged: false };
  for (const endpoint of slice.endpoints) {
    const key = endpointKey(endpoint);
    const wanted = missing.get(key);
    if (wanted === undefined) {
      draft.isChanged = true;
      continue;
    }
    missing.delete(key);
    if (isDeepStrictEqual(wanted, endpoint)) {
      draft.endpoints.push(endpoint);
      continue;
    }
    draft.endpoints.push(wanted);
    draft.isChanged = true;
  }
  return draft;
}

/** The fullest slice that has room for all. */
function fittest(drafts: readonly Draft[], count: number, max: number): Draft | undefined {
  let best: Draft | undefined;
  for (const draft of drafts) {
    if (draft.endpoints.length + count <= max && (best === undefined || draft.endpoints.length > best.endpoints.length)) best = draft;
  }
  return best;
}

function endpointKey(endpoint: Endpoint): string {
  return `${endpoint.targetRef?.uid ?? ""} ${endpoint.addresses.join()}`;
}
