// The kernel's trace events with what they refer to: rules and base chains are numbers and names there.
import { type NetNs, type NftSocket, openNft, type TraceEvent, watchTrace } from "#linux";
import { type Chain, formatRule, type Rule } from "#nft";
import { decodePacket, type Packet } from "#wire";
import { ARM_TABLE_PREFIX } from "./arm.ts";
import type { Sighting, TraceSighting } from "./types.ts";

export interface TraceReaderOptions {
  readonly node: string;
  readonly namespace: string;
  readonly linkName: (index: number) => string | undefined;
  readonly onSighting: (sighting: Sighting) => void;
}

/** Where a packet is: the base chain that it came into last, and how it was then. */
interface Passing {
  readonly base: Chain["base"];
  readonly packet: Packet | undefined;
}

interface KnownTable {
  readonly generation: number;
  readonly chains: ReadonlyMap<string, Chain>;
  readonly rules: ReadonlyMap<number, Rule>;
}

/** Packets that pass at the same time in one namespace; more are forgotten, the oldest first. */
const MAX_PASSING = 256;

export class TraceReader {
  readonly #options: TraceReaderOptions;
  readonly #nft: NftSocket;
  readonly #watch: ReturnType<typeof watchTrace>;
  readonly #tables = new Map<string, KnownTable>();
  readonly #passing = new Map<number, Passing>();

  constructor(ns: NetNs, options: TraceReaderOptions) {
    this.#options = options;
    this.#nft = openNft(ns);
    const { node, namespace, onSighting } = options;
    try {
      this.#watch = watchTrace(
        ns,
        (event) => this.#onEvent(event),
        () => onSighting({ kind: "lost", node, namespace, what: "traces" }),
      );
    } catch (err) {
      this.#nft.close();
      throw err;
    }
  }

  drain(): void {
    this.#watch.drain();
  }

  async close(): Promise<void> {
    this.#watch.close();
    this.#nft.close();
  }

  #onEvent(event: TraceEvent): void {
    if (event.table.startsWith(ARM_TABLE_PREFIX)) return;
    const table = this.#tableOf(event);
    const passing = this.#passingOf(event, table.chains.get(event.chain)?.base);
    // The end of a chain without a verdict says nothing: a "return", and from Linux 6.3 on a rule without a number (nft_do_chain).
    if (event.handle === undefined && event.verdict.kind === "continue") return;
    this.#options.onSighting(this.#sighting(event, event.handle === undefined ? undefined : table.rules.get(event.handle), passing));
  }

  /** A base chain's first event has the packet; those that follow belong to it. */
  #passingOf(event: TraceEvent, base: Chain["base"]): Passing | undefined {
    const known = this.#passing.get(event.id);
    if (event.packet === undefined && (base === undefined || known?.base === base)) return known;
    const passing = {
      base: base ?? (event.packet === undefined ? known?.base : undefined),
      packet: event.packet && decodePacket(event.packet),
    };
    this.#passing.delete(event.id);
    this.#passing.set(event.id, passing);
    const [oldest] = this.#passing.keys();
    if (this.#passing.size > MAX_PASSING && oldest !== undefined) this.#passing.delete(oldest);
    return passing;
  }

  #sighting(event: TraceEvent, rule: Rule | undefined, passing: Passing | undefined): TraceSighting {
    const { id, type, family, table, chain, handle, verdict, iif, oif, mark } = event;
    const { base, packet } = passing ?? {};
    const linkIn = iif === undefined ? undefined : this.#options.linkName(iif);
    const linkOut = oif === undefined ? undefined : this.#options.linkName(oif);
    return {
      kind: "trace",
      timeNs: BigInt(Date.now()) * 1_000_000n,
      node: this.#options.node,
      namespace: this.#options.namespace,
      traceId: id,
      step: type,
      family,
      table,
      chain,
      ...(base && { hook: base.hook, priority: base.priority }),
      ...(handle !== undefined && { handle }),
      ...(rule?.comment !== undefined && { comment: rule.comment }),
      ...(rule && { rule: formatRule(rule, { stateless: true }) }),
      verdict: verdict.kind,
      ...((verdict.kind === "jump" || verdict.kind === "goto") && { target: verdict.chain }),
      ...(linkIn !== undefined && { linkIn }),
      ...(linkOut !== undefined && { linkOut }),
      ...(mark !== undefined && { mark }),
      ...(packet && { packet }),
    };
  }

  /** As it is now, where it may be another than it was. */
  #tableOf({ family, table: name, chain, handle }: TraceEvent): KnownTable {
    const key = `${family} ${name}`;
    const known = this.#tables.get(key);
    if (known?.chains.has(chain) === true && (handle === undefined || known.rules.has(handle))) return known;
    const generation = this.#nft.generation();
    if (known?.generation === generation) return known;
    const chains = this.#nft.chains({ family, name }) ?? [];
    const rules = chains.flatMap((one) => one.rules.map((rule): [number, Rule] => [rule.handle ?? 0, rule]));
    const read = { generation, chains: new Map(chains.map((one) => [one.name, one])), rules: new Map(rules) };
    this.#tables.set(key, read);
    return read;
  }
}
