// From the bytes of a query to the bytes of its reply: at once for the cluster's names, after asking upstream for others.
import { type Clock, errorMessage, type Logger } from "#base";
import { DNS_CLASS_IN, DNS_RCODE, DNS_TYPE, type DnsMessage, decodeDns, dnsMessage, encodeDns } from "#wire";
import { type Answer, answer, type Circumstances, completeAlias, replyTo } from "./answer.ts";
import type { AnswerCache } from "./cache.ts";
import type { Forwarder } from "./forwarder.ts";
import type { Zones } from "./lookup.ts";
import type { DnsMetrics, Source } from "./metrics.ts";
import {
  bareReply,
  EDNS_UDP_BYTES,
  type EncodeOptions,
  encodeReply,
  fillTemplate,
  forwardedQuery,
  forwardedReply,
  forwardKey,
  makeTemplate,
  parseQuery,
  type Query,
  queryMessage,
  replyLimit,
  type Template,
} from "./query.ts";
import type { Versioned } from "./zone-index.ts";

/** How a query came in. */
export interface Via {
  readonly tcp: boolean;
  readonly family: 4 | 6;
}

export interface HandlerOptions {
  readonly zones: Zones;
  readonly hasSynced: () => boolean;
  readonly forwarder: Forwarder;
  readonly cache: AnswerCache;
  readonly metrics: DnsMetrics;
  readonly clock: Clock;
  readonly logger: Logger;
}

interface Prepared {
  readonly template: Template;
  readonly madeFrom: Versioned;
  readonly version: number;
}

interface Outcome {
  readonly reply: Buffer;
  readonly source: Source;
}

/** Prepared replies beyond this many push out the oldest: about 4 MiB. */
const MAX_PREPARED = 10_000;
/** Types that clients ask for again and again. */
const PREPARED_TYPES: ReadonlySet<number> = new Set([DNS_TYPE.A, DNS_TYPE.AAAA, DNS_TYPE.SRV, DNS_TYPE.TXT, DNS_TYPE.HTTPS]);

/** Extended DNS errors, RFC 8914 §4. */
const NOT_READY: EncodeOptions["reason"] = [14, "the server does not know the cluster's Services yet"];
const NO_UPSTREAM: EncodeOptions["reason"] = [23, "there is no upstream name server"];
const UPSTREAM_SILENT: EncodeOptions["reason"] = [22, "no upstream name server answered"];

export class DnsHandler {
  readonly #options: HandlerOptions;
  readonly #prepared = new Map<string, Prepared>();
  readonly #asking = new Map<string, Promise<Buffer>>();
  #turn = 0;

  constructor(options: HandlerOptions) {
    this.#options = options;
  }

  /** Undefined: nothing is to be sent. Never throws, and its promise never rejects. */
  handle(bytes: Buffer, via: Via): Buffer | undefined | Promise<Buffer> {
    const startedMs = performance.now();
    const query = parseQuery(bytes);
    if (query === "ignore") return undefined;
    if (typeof query === "number") return bareReply(bytes, query);
    const finish = ({ reply, source }: Outcome): Buffer => {
      this.#options.metrics.query({
        ...via,
        type: query.type,
        queryBytes: bytes.length,
        replyBytes: reply.length,
        rcode: (reply[3] ?? 0) & 0x0f,
        source,
        seconds: (performance.now() - startedMs) / 1000,
      });
      return reply;
    };
    try {
      const outcome = this.#answer(query, via);
      return outcome instanceof Promise ? outcome.catch((err: unknown) => this.#fault(query, err)).then(finish) : finish(outcome);
    } catch (err) {
      return finish(this.#fault(query, err));
    }
  }

  #fault(query: Query, err: unknown): Outcome {
    this.#options.metrics.fault();
    this.#options.logger.error("a query could not be answered", { err: errorMessage(err) });
    return { reply: bareReply(query.bytes, DNS_RCODE.SERVFAIL), source: "" };
  }

  #circumstances(): Circumstances {
    return { synced: this.#options.hasSynced(), hasUpstream: this.#options.forwarder.hasUpstream };
  }

  #answer(query: Query, via: Via): Outcome | Promise<Outcome> {
    const limit = replyLimit(query, via.tcp);
    if (query.edns?.dnssecOk === true) this.#options.metrics.dnssecOk();
    const refused =
      query.edns !== undefined && query.edns.version !== 0 ? DNS_RCODE.BADVERS : query.class === DNS_CLASS_IN ? 0 : DNS_RCODE.REFUSED;
    if (refused !== 0) return this.#say(query, replyTo(queryMessage(query), this.#circumstances(), { rcode: refused }), { limit });
    return this.#fromPrepared(query, limit) ?? this.#compute(query, via, limit);
  }

  #fromPrepared(query: Query, limit: number): Outcome | undefined {
    const prepared = this.#prepared.get(preparedKey(query));
    if (prepared === undefined || prepared.version !== prepared.madeFrom.version) return undefined;
    const reply = fillTemplate(query, prepared.template, limit, this.#turn++);
    return reply === undefined ? undefined : { reply, source: "kubernetes" };
  }

  #compute(query: Query, via: Via, limit: number): Outcome | Promise<Outcome> {
    const message = queryMessage(query);
    const [question] = message.questions;
    const circumstances = this.#circumstances();
    const result = answer(this.#options.zones, message, question, circumstances);
    if (result.kind === "forward") return this.#forward(query, via, limit);
    if (result.kind === "complete") return this.#complete(query, via, result);
    this.#prepare(query, result);
    const failed = result.reply.rcode === DNS_RCODE.SERVFAIL;
    const reason = failed ? (circumstances.hasUpstream || !circumstances.synced ? NOT_READY : NO_UPSTREAM) : undefined;
    return this.#say(query, rotated(result.reply, this.#turn++), { limit, reason });
  }

  #say(query: Query, reply: DnsMessage, options: EncodeOptions): Outcome {
    return { reply: encodeReply(query, reply, options), source: "kubernetes" };
  }

  #prepare(query: Query, { reply, madeFrom }: Extract<Answer, { kind: "reply" }>): void {
    if (madeFrom === undefined || !PREPARED_TYPES.has(query.type)) return;
    const key = preparedKey(query);
    // Still good, but too long for this client.
    if (this.#prepared.get(key)?.version === madeFrom.version) return;
    this.#prepared.delete(key);
    if (this.#prepared.size >= MAX_PREPARED) {
      const [oldest] = this.#prepared.keys();
      if (oldest !== undefined) this.#prepared.delete(oldest);
    }
    this.#prepared.set(key, { template: makeTemplate(query, reply), madeFrom, version: madeFrom.version });
  }

  async #forward(query: Query, via: Via, limit: number): Promise<Outcome> {
    const found = await this.#askUpstream(query, via);
    if (found === "full")
      return this.#say(query, replyTo(queryMessage(query), this.#circumstances(), { rcode: DNS_RCODE.REFUSED }), { limit });
    if (found === "silent") {
      const reply = replyTo(queryMessage(query), this.#circumstances(), { rcode: DNS_RCODE.SERVFAIL });
      return { reply: encodeReply(query, reply, { limit, reason: UPSTREAM_SILENT }), source: "forward" };
    }
    return { reply: forwardedReply(query, found.bytes, limit), source: found.source };
  }

  async #complete(query: Query, via: Via, { target, reply }: Extract<Answer, { kind: "complete" }>): Promise<Outcome> {
    const limit = replyLimit(query, via.tcp);
    const edns = { udpSize: EDNS_UDP_BYTES, version: 0, dnssecOk: false, options: [] };
    const question = { name: target, type: query.type, class: DNS_CLASS_IN };
    const ask = parseQuery(
      Buffer.from(encodeDns(dnsMessage({ questions: [question], ...(query.edns === undefined ? {} : { edns }) })).buffer),
    );
    const found = typeof ask === "object" ? await this.#askUpstream(ask, via) : "silent";
    const upstream = typeof found === "string" ? undefined : decodeDns(found.bytes);
    return this.#say(query, completeAlias(reply, upstream), { limit, reason: upstream === undefined ? UPSTREAM_SILENT : undefined });
  }

  async #askUpstream(query: Query, via: Via): Promise<{ bytes: Buffer; source: Source } | "full" | "silent"> {
    const { cache, clock, forwarder, metrics, logger } = this.#options;
    const key = forwardKey(query);
    const kept = cache.get(key, clock.now());
    if (kept !== undefined) {
      metrics.cacheHit(kept.denial);
      return { bytes: kept.bytes, source: "cache" };
    }
    metrics.cacheMiss();
    const transport = via.tcp ? "tcp" : "udp";
    const askKey = `${transport}${key}`;
    let asking = this.#asking.get(askKey);
    if (asking === undefined) {
      if (forwarder.isFull()) {
        metrics.rejected();
        return "full";
      }
      asking = forwarder.ask(forwardedQuery(query), transport);
      this.#asking.set(askKey, asking);
    }
    try {
      const bytes = await asking;
      if (this.#asking.delete(askKey)) cache.set(key, bytes, clock.now());
      return { bytes, source: "forward" };
    } catch (err) {
      this.#asking.delete(askKey);
      logger.debug("a query was not answered upstream", { err: errorMessage(err) });
      return "silent";
    }
  }
}

function preparedKey(query: Query): string {
  return `${query.nameKey}${query.type}`;
}

/** Addresses of one name in another order each time, so that clients that take the first spread (CoreDNS `loadbalance`). */
function rotated(reply: DnsMessage, turn: number): DnsMessage {
  const isAddress = (type: string): boolean => type === "A" || type === "AAAA";
  const aliases = reply.answers.filter((record) => !isAddress(record.type));
  const addresses = reply.answers.filter((record) => isAddress(record.type));
  if (addresses.length < 2) return reply;
  const first = turn % addresses.length;
  return { ...reply, answers: [...aliases, ...addresses.slice(first), ...addresses.slice(0, first)] };
}
