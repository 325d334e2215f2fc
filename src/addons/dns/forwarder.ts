// Whom to ask about names that are not the cluster's, in which order, and for how long.
import { type Clock, errorCode, errorMessage, FairleadError, type Logger } from "#base";
import { askTcp, formatUpstream, noAnswer, UdpExchange, type Upstream } from "./exchange.ts";
import { findNoWay, Reach, type ReachOptions } from "./reach.ts";

export interface ForwarderOptions {
  readonly upstreams: readonly Upstream[];
  readonly clock: Clock;
  readonly logger: Logger;
  /** For one upstream. */
  readonly timeoutMs?: number;
  /** For all of them together: before a stub resolver gives up (5 s in resolv.conf(5)). */
  readonly deadlineMs?: number;
  /** More questions than this at a time are refused. */
  readonly maxConcurrent?: number;
  /** How it is found out that there is no way to an upstream; by a TCP connection unless told. */
  readonly look?: ReachOptions["look"];
  /** Called for each attempt that was answered. */
  readonly onReply?: (upstream: string, rcode: number, seconds: number) => void;
}

/** An upstream that failed so often in a row is asked last, until it has rested. */
const FAILURES_TO_REST = 2;
const REST_MS = 2000;

class Peer {
  readonly upstream: Upstream;
  readonly udp: UdpExchange;
  readonly reach: Reach;
  readonly name: string;
  failures = 0;
  restsUntilMs = 0;

  constructor(upstream: Upstream, { clock, look = findNoWay }: ForwarderOptions) {
    this.upstream = upstream;
    this.udp = new UdpExchange(upstream);
    this.reach = new Reach(upstream, { now: () => clock.now(), sleep: (ms, signal) => clock.sleep(ms, signal), look });
    this.name = formatUpstream(upstream);
  }

  /** Rejects before the time is up where it turns out that there is no way to it. */
  async askUdp(query: Buffer, timeoutMs: number): Promise<Buffer> {
    if (this.reach.noWay !== undefined) throw this.reach.noWay;
    const waiting = new AbortController();
    void this.reach.watch(waiting.signal).then((why) => {
      if (why !== undefined) this.udp.fail(noAnswer(this.upstream, why, "Unreachable"));
    });
    try {
      const reply = await this.udp.ask(query, timeoutMs);
      this.reach.answered();
      return reply;
    } catch (err) {
      if (errorCode(err) === "Unreachable") this.reach.refused(err);
      throw err;
    } finally {
      waiting.abort();
    }
  }
}

export class Forwarder {
  readonly #options: ForwarderOptions;
  readonly #peers: readonly Peer[];
  #running = 0;
  #turn = 0;

  constructor(options: ForwarderOptions) {
    this.#options = options;
    this.#peers = options.upstreams.map((upstream) => new Peer(upstream, options));
  }

  get hasUpstream(): boolean {
    return this.#peers.length > 0;
  }

  /** Whether there is no room for one more question. */
  isFull(): boolean {
    return this.#running >= (this.#options.maxConcurrent ?? 1000);
  }

  /** Any answer is an answer, SERVFAIL and REFUSED included. Rejects with a FairleadError when there is none from anyone. */
  async ask(query: Buffer, transport: "udp" | "tcp"): Promise<Buffer> {
    const { clock, timeoutMs = 2000, deadlineMs = 4500 } = this.#options;
    const deadline = clock.now() + deadlineMs;
    let last: unknown = new FairleadError("There is no upstream name server", { code: "NoUpstream", op: "ask upstream" });
    this.#running++;
    try {
      for (const peer of this.#order()) {
        const left = Math.min(timeoutMs, deadline - clock.now());
        if (left <= 0) break;
        try {
          return await this.#askPeer(peer, query, { transport, timeoutMs: left });
        } catch (err) {
          last = err;
        }
      }
      throw last;
    } finally {
      this.#running--;
    }
  }

  close(): void {
    for (const peer of this.#peers) peer.udp.close();
  }

  /** All in turn, those that rest last. One that is alone gets a second chance, since UDP loses packets. */
  #order(): Peer[] {
    const first = this.#turn++ % Math.max(1, this.#peers.length);
    const turned = [...this.#peers.slice(first), ...this.#peers.slice(0, first)];
    const now = this.#options.clock.now();
    const rests = (peer: Peer): boolean => peer.restsUntilMs > now;
    const order = [...turned.filter((peer) => !rests(peer)), ...turned.filter(rests)];
    return order.length === 1 ? [...order, ...order] : order;
  }

  async #askPeer(peer: Peer, query: Buffer, how: { transport: "udp" | "tcp"; timeoutMs: number }): Promise<Buffer> {
    const { clock, logger, onReply } = this.#options;
    const started = clock.now();
    try {
      const reply = await (how.transport === "udp" ? peer.askUdp(query, how.timeoutMs) : askTcp(peer.upstream, query, how.timeoutMs));
      peer.failures = 0;
      peer.restsUntilMs = 0;
      onReply?.(peer.name, (reply[3] ?? 0) & 0x0f, (clock.now() - started) / 1000);
      return reply;
    } catch (err) {
      peer.failures++;
      if (peer.failures >= FAILURES_TO_REST) peer.restsUntilMs = clock.now() + REST_MS;
      logger.debug("upstream did not answer", { upstream: peer.name, err: errorMessage(err) });
      throw err;
    }
  }
}
