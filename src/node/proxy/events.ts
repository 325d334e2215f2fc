// Tells a Service's author, by Events on the Service, what of it is not done.
//
// Every node finds the same. One of them says it: the first by name of those that are Ready; the others keep it in mind, and the next
// one says it when that one is gone. So an Event may be told twice, and is not lost with a node.
import type { Node, Service } from "kubernetes-types/core/v1";
import type { EventRecorder, Informer } from "#client";
import { formatAddr } from "#ip";
import { SCTP, TCP, UDP } from "#nft";
import type { ProxyObserver } from "./reconcile.ts";
import type { CompiledService, Frontend } from "./types.ts";

export interface ServiceEventsOptions {
  readonly events: EventRecorder;
  readonly services: Pick<Informer<Service>, "get">;
  /** Without them every node speaks. */
  readonly nodes: Pick<Informer<Node>, "list" | "subscribe"> | undefined;
  /** This node's name. */
  readonly node: string;
}

interface Told {
  readonly reason: string;
  isSaid: boolean;
}

const NAMES: Readonly<Record<number, string>> = { [TCP]: "TCP", [UDP]: "UDP", [SCTP]: "SCTP" };

export class ServiceEvents implements ProxyObserver {
  readonly #o: ServiceEventsOptions;
  /** What is wrong now, by Service and message. */
  readonly #problems = new Map<string, Map<string, Told>>();
  /** Who lost what to whom: told by another call, and forgotten with the Service. */
  readonly #conflicts = new Map<string, Map<string, Told>>();
  #speaks: boolean;

  constructor(options: ServiceEventsOptions) {
    this.#o = options;
    this.#speaks = isFirst(options);
    options.nodes?.subscribe(() => {
      const before = this.#speaks;
      this.#speaks = isFirst(options);
      if (this.#speaks && !before) this.#sayAll();
    });
  }

  compiled(results: ReadonlyMap<string, CompiledService | undefined>): void {
    for (const [service, compiled] of results) {
      const before = this.#problems.get(service);
      const problems = compiled?.problems ?? [];
      if (compiled === undefined) this.#conflicts.delete(service);
      if (problems.length === 0) {
        this.#problems.delete(service);
        continue;
      }
      // What stays is not said again.
      const now = problems.map(({ reason, message }): [string, Told] => [message, before?.get(message) ?? { reason, isSaid: false }]);
      this.#problems.set(service, new Map(now));
      this.#say(service, this.#problems.get(service));
    }
  }

  contested(winner: Frontend, loser: Frontend): void {
    const { addr, protocol, port } = loser;
    const service = nameOf(loser);
    const at = `${formatAddr(addr)} ${NAMES[protocol] ?? protocol} port ${port}`;
    const message = `${loser.kind} ${at} belongs to the Service ${nameOf(winner)}, ${whyFirst(winner, loser)}: connections there do not reach this one`;
    const conflicts = this.#conflicts.get(service) ?? new Map<string, Told>();
    this.#conflicts.set(service, conflicts.set(message, { reason: "AddressConflict", isSaid: false }));
    this.#say(service, conflicts);
  }

  #sayAll(): void {
    for (const told of [this.#problems, this.#conflicts]) for (const [service, messages] of told) this.#say(service, messages);
  }

  #say(service: string, messages: ReadonlyMap<string, Told> = new Map()): void {
    const object = this.#o.services.get(service);
    if (!this.#speaks || object === undefined) return;
    for (const [message, told] of messages) {
      if (told.isSaid) continue;
      told.isSaid = true;
      this.#o.events.event(object, { type: "Warning", reason: told.reason, message });
    }
  }
}

/** As `Frontends` decides it. */
function whyFirst(winner: Frontend, loser: Frontend): string {
  if (winner.kind === "ClusterIP" && loser.kind !== "ClusterIP") return "whose ClusterIP it is";
  return winner.since === loser.since ? "which is as old and comes first by name" : "which is older";
}

/** `namespace/name`, without the port. */
function nameOf({ service }: Frontend): string {
  return service.slice(0, service.lastIndexOf(":"));
}

function isFirst({ nodes, node }: ServiceEventsOptions): boolean {
  const all = nodes?.list() ?? [];
  const ready = all.filter(({ status }) => status?.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True"));
  const names = (ready.length > 0 ? ready : all).map(({ metadata }) => metadata.name).sort();
  return names.length === 0 ? nodes === undefined : names[0] === node;
}
