// The truth table of who reaches whom, pod by pod. Pure.
import type { Addr, Family } from "#ip";
import type { PodFacts } from "#netpol";
import type { Partition } from "./atoms.ts";
import { type PortSets, pointOf } from "./ports.ts";
import type { Reach } from "./reach.ts";

export interface TablePort {
  /** IPPROTO_*. */
  readonly protocol: number;
  readonly port: number;
}

/** What is foreseen, or seen, of one pod, another, and a port, in each family that both have. */
export interface Cell {
  readonly from: PodFacts;
  readonly to: PodFacts;
  readonly port: TablePort;
  readonly families: readonly { readonly family: Family; readonly addr: Addr; readonly allowed: boolean }[];
}

export interface TableInput {
  readonly reach: Reach;
  readonly partition: Partition;
  readonly sets: PortSets;
  readonly from: readonly PodFacts[];
  readonly to: readonly PodFacts[];
  readonly ports: readonly TablePort[];
}

/** All but each pod with itself. */
export function truthTable({ reach, partition, sets, from, to, ports }: TableInput): Cell[] {
  return from.flatMap((source) =>
    to.flatMap((target) => {
      const [a, b] = [partition.atomOfPod.get(source.key), partition.atomOfPod.get(target.key)];
      if (a === undefined || b === undefined || source.key === target.key) return [];
      const shared = target.addrs.filter(({ family }) => source.addrs.some((own) => own.family === family));
      return ports.map(
        (port): Cell => ({
          from: source,
          to: target,
          port,
          families: shared.map((addr) => {
            const set = reach.between(a, b, addr.family);
            return { family: addr.family, addr, allowed: sets.has(set, pointOf(port.protocol, port.port)) };
          }),
        }),
      );
    }),
  );
}
