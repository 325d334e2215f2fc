// Decides which address an owner gets. Pure: takes a state, gives the steps that lead to the next one.
import { FairleadError } from "#base";
import { type Addr, formatAddr, formatPrefix } from "#ip";
import { inRange, nextInRange, rangeKey } from "./range.ts";
import type { IpamState, IpamStep, Lease, Owner, Range } from "./types.ts";

function sameOwner(a: Owner, b: Owner): boolean {
  return a.containerId === b.containerId && a.ifName === b.ifName;
}

export function heldBy(state: IpamState, owner: Owner): Lease[] {
  return [...state.leases.values()].filter((lease) => sameOwner(lease.owner, owner));
}

/**
 * One address per range. An owner that has one keeps it, also where an earlier attempt broke off after the first family; what it
 * holds outside of the ranges (the node's Pod CIDR has changed) is given back.
 */
export function planAdd(state: IpamState, owner: Owner): { addrs: Addr[]; steps: IpamStep[] } {
  const held = heldBy(state, owner);
  const addrs: Addr[] = [];
  const steps: IpamStep[] = held
    .filter((lease) => !state.ranges.some((range) => inRange(range, lease.addr)))
    .map((lease) => ({ step: "release", addr: lease.addr }));
  for (const range of state.ranges) {
    const kept = held.find((lease) => inRange(range, lease.addr));
    const addr = kept?.addr ?? nextFree(state, range, owner);
    addrs.push(addr);
    // The cursor moves first: a crash between the two steps skips one address for one round, the other order would hand the
    // address of a pod that is deleted next to the pod after it.
    if (kept === undefined) steps.push({ step: "advance", range, addr }, { step: "hold", lease: { addr, owner } });
  }
  return { addrs, steps };
}

export function planDel(state: IpamState, owner: Owner): IpamStep[] {
  return heldBy(state, owner).map((lease) => ({ step: "release", addr: lease.addr }));
}

export function planGc(state: IpamState, valid: readonly Owner[]): IpamStep[] {
  const keep = new Set(valid.map(ownerKey));
  return [...state.leases.values()]
    .filter((lease) => !keep.has(ownerKey(lease.owner)))
    .map((lease) => ({ step: "release", addr: lease.addr }));
}

export function applyStep(state: IpamState, step: IpamStep): void {
  if (step.step === "advance") state.cursors.set(rangeKey(step.range), step.addr);
  else if (step.step === "hold") state.leases.set(formatAddr(step.lease.addr), step.lease);
  else state.leases.delete(formatAddr(step.addr));
}

/** Round-robin: an address that was just given back is the last one to be given out again (stale conntrack and neighbour entries). */
function nextFree(state: IpamState, range: Range, owner: Owner): Addr {
  const start = nextInRange(range, state.cursors.get(rangeKey(range)) ?? range.last);
  let addr = start;
  do {
    if (!state.leases.has(formatAddr(addr))) return addr;
    addr = nextInRange(range, addr);
  } while (addr !== start && formatAddr(addr) !== formatAddr(start));
  const cidr = formatPrefix(range.prefix);
  throw new FairleadError(
    `Cannot give container ${owner.containerId} an address: all pod addresses of ${cidr} are in use; delete pods of this node, or give it a larger Pod CIDR`,
    { code: "AddressesExhausted", op: "ipam add", facts: { podCidr: cidr, containerId: owner.containerId, ifName: owner.ifName } },
  );
}

function ownerKey(owner: Owner): string {
  return `${owner.containerId}\n${owner.ifName}`;
}
