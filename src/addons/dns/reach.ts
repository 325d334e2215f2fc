// Whether packets can get to an upstream at all. A UDP socket is told when nobody listens on the port or a router forbids the way; that
// there is no route (ICMP type 3, codes 0 and 1) it is told only with IP_RECVERR (Linux `__udp4_lib_err`), which Node does not set and, set
// behind its back, does not survive. A TCP connection that is being made is told (`tcp_v4_err` in SYN_SENT), so that is what asks.
import { connect } from "node:net";
import { errorCode } from "#base";
import type { Upstream } from "./exchange.ts";

/** Nothing gets there. Others, such as ECONNREFUSED, are about TCP alone. */
const NO_WAY: ReadonlySet<string> = new Set(["ENETUNREACH", "EHOSTUNREACH", "ENETDOWN", "EHOSTDOWN"]);

/** The network's words when there is no way; undefined when there is one, or when nothing is known after `timeoutMs`. */
export function findNoWay({ host, port }: Upstream, timeoutMs: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const finish = (result: string | undefined): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(result);
    };
    const timer = setTimeout(() => finish(undefined), timeoutMs);
    socket.once("connect", () => finish(undefined));
    socket.once("error", (err) => finish(NO_WAY.has(errorCode(err) ?? "") ? err.message : undefined));
  });
}

/** How long an upstream that answers may be silent before anyone looks whether there still is a way to it. */
const SILENCE_MS = 50;
/** A router tells it about once a second for each destination (sysctl icmp_ratelimit): for so long what was said last is believed. */
const BELIEVED_MS = 2000;
/** A filter that refuses TCP alone reads like a missing route (Linux `icmp_err_convert`): the question has so long to be answered all the same. */
const DOUBT_MS = 500;
/** An upstream that answered in that time is not looked at for so long. */
const FILTERED_MS = 60_000;
/** Long enough for a second try, after 1 s: what comes back while the first is still being sent is not noticed (Linux `tcp_v4_err`). */
const LOOK_MS = 3000;

export interface ReachOptions {
  readonly now: () => number;
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly look: (upstream: Upstream, timeoutMs: number) => Promise<string | undefined>;
}

/** What is known of the way to one upstream. */
export class Reach {
  readonly #upstream: Upstream;
  readonly #options: ReachOptions;
  #looking: Promise<string | undefined> | undefined;
  #answers = false;
  /** TCP has said that there is no way, and UDP nothing yet. */
  #inDoubt = false;
  #filteredUntilMs = 0;
  #noWay: { readonly err: unknown; readonly untilMs: number } | undefined;

  constructor(upstream: Upstream, options: ReachOptions) {
    this.#upstream = upstream;
    this.#options = options;
  }

  /** Why a question need not be sent now; undefined where it may. */
  get noWay(): unknown {
    return this.#noWay !== undefined && this.#noWay.untilMs > this.#options.now() ? this.#noWay.err : undefined;
  }

  /** While a question waits for its answer, which `signal` tells: the network's words if there turns out to be no way. */
  async watch(signal: AbortSignal): Promise<string | undefined> {
    const { now, sleep, look } = this.#options;
    if (this.#answers) await sleep(SILENCE_MS, signal);
    if (signal.aborted || this.#filteredUntilMs > now()) return undefined;
    this.#looking ??= look(this.#upstream, LOOK_MS).finally(() => {
      this.#looking = undefined;
    });
    const why = await this.#looking;
    if (why === undefined || signal.aborted) return undefined;
    this.#inDoubt = true;
    await sleep(DOUBT_MS, signal);
    return signal.aborted ? undefined : why;
  }

  answered(): void {
    if (this.#inDoubt) this.#filteredUntilMs = this.#options.now() + FILTERED_MS;
    this.#inDoubt = false;
    this.#answers = true;
    this.#noWay = undefined;
  }

  /** The network has said that nothing gets there, or that nobody listens. */
  refused(err: unknown): void {
    this.#inDoubt = false;
    this.#answers = false;
    this.#noWay = { err, untilMs: this.#options.now() + BELIEVED_MS };
  }
}
