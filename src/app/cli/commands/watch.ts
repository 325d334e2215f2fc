// `fairlead watch drops`: what policies refuse, on all nodes, as it happens.
import { createInterface } from "node:readline";
import type { Node } from "kubernetes-types/core/v1";
import { errorMessage, FairleadError, systemClock } from "#base";
import type { HttpClient } from "#client";
import { NODES } from "#kube";
import { openClient } from "../api.ts";
import { concernsNamespace, DROP_HEAD, formatDrop, formatLeftOut, isDrop, type Told } from "../drop-text.ts";
import { paint } from "../terminal.ts";

export interface WatchOptions {
  readonly name: string;
  /** Only connections with a pod of it at an end. */
  readonly namespace?: string;
  readonly node?: string;
  readonly output: "text" | "json";
  /** End after so many. */
  readonly count?: number;
  /** End after so many seconds. */
  readonly timeout?: number;
}

/** An agent that starts again is asked again. */
const AGAIN_MS = 1000;

/** The exit code: 1 where there were fewer than `count` in time. */
export async function watchDrops(options: WatchOptions): Promise<number> {
  const client = openClient(options.name);
  const end = new AbortController();
  const stop = (): void => end.abort();
  process.once("SIGINT", stop).once("SIGTERM", stop);
  const timer = options.timeout === undefined ? undefined : setTimeout(stop, options.timeout * 1000);
  try {
    const nodes = await nodeNames(client, options.node);
    const printer = new Printer(options, stop);
    const watches = nodes.map((node) => new NodeWatch(client, node, end.signal));
    await Promise.all(watches.map((watch) => watch.open()));
    printer.begin(nodes);
    await Promise.all(watches.map((watch) => watch.follow((told) => printer.print(told))));
    return options.count !== undefined && printer.count < options.count ? 1 : 0;
  } finally {
    clearTimeout(timer);
    client.close();
  }
}

async function nodeNames(client: HttpClient, wanted: string | undefined): Promise<string[]> {
  const { items } = await client.list<Node>(NODES);
  const names = items.map(({ metadata }) => metadata.name).sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  if (wanted === undefined) return names;
  if (names.includes(wanted)) return [wanted];
  throw new FairleadError(`there is no node "${wanted}"; there are: ${names.join(", ")}`, { code: "NoSuchNode" });
}

type Stream = Awaited<ReturnType<HttpClient["stream"]>>;

class NodeWatch {
  readonly #client: HttpClient;
  readonly #node: string;
  readonly #signal: AbortSignal;
  #stream: Stream | undefined;
  #hasComplained = false;

  constructor(client: HttpClient, node: string, signal: AbortSignal) {
    this.#client = client;
    this.#node = node;
    this.#signal = signal;
  }

  /** Resolves when the node watches, or has said why it does not. */
  async open(): Promise<void> {
    const node = this.#node;
    try {
      const path = `/api/v1/nodes/${node}/proxy/debug/drops`;
      this.#stream = await this.#client.stream({ method: "GET", path, op: `watch drops on ${node}`, signal: this.#signal });
      this.#hasComplained = false;
    } catch (err) {
      if (this.#signal.aborted || this.#hasComplained) return;
      this.#hasComplained = true;
      note(`${node} cannot be watched: ${errorMessage(err)}; trying again`);
    }
  }

  async follow(take: (told: Told) => void): Promise<void> {
    while (!this.#signal.aborted) {
      await this.#read(take);
      await systemClock.sleep(AGAIN_MS, this.#signal).catch(() => undefined);
      if (!this.#signal.aborted) await this.open();
    }
  }

  async #read(take: (told: Told) => void): Promise<void> {
    const stream = this.#stream;
    if (stream === undefined) return;
    this.#stream = undefined;
    try {
      for await (const line of createInterface({ input: stream })) {
        if (this.#signal.aborted) return;
        take(JSON.parse(line) as Told);
      }
    } catch (err) {
      if (!this.#signal.aborted) note(`${this.#node} is no longer watched: ${errorMessage(err)}; trying again`);
    } finally {
      stream.destroy();
    }
  }
}

class Printer {
  count: number = 0;
  readonly #o: WatchOptions;
  readonly #stop: () => void;

  constructor(options: WatchOptions, stop: () => void) {
    this.#o = options;
    this.#stop = stop;
  }

  begin(nodes: readonly string[]): void {
    process.stderr.write(`${paint("dim", `watching ${nodes.join(", ")}; Ctrl-C ends`, process.stderr)}\n`);
    if (this.#o.output === "text") process.stdout.write(`${paint("bold", DROP_HEAD)}\n`);
  }

  print(told: Told): void {
    const { namespace, output, count } = this.#o;
    if (count !== undefined && this.count >= count) return;
    if (!isDrop(told)) {
      if (output === "json") process.stdout.write(`${JSON.stringify(told)}\n`);
      else note(formatLeftOut(told));
      return;
    }
    if (namespace !== undefined && !concernsNamespace(told, namespace)) return;
    process.stdout.write(`${output === "json" ? JSON.stringify(told) : formatDrop(told)}\n`);
    this.count++;
    if (this.count === count) this.#stop();
  }
}

function note(text: string): void {
  process.stderr.write(`${paint("yellow", "note:", process.stderr)} ${text}\n`);
}
