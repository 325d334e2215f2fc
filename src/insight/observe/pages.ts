// The debug pages of an agent: `network`, `probe` and `packets`. What comes in is parsed here, once.
import { InputError } from "#base";
import type { NetNs } from "#linux";
import { encodeJson, encodeReport, type Json } from "./codec.ts";
import { parseNetworkQuery, parseProbeRequest, parseWatchRequest } from "./parse.ts";
import { probe } from "./probe.ts";
import { type OpenNamespace, readReport } from "./read.ts";
import type { Place, WatchRequest } from "./types.ts";
import { watch } from "./watch.ts";

/** Whose namespaces these pages show. */
export interface ObservedPlace {
  /** The node's name, or "sandbox". */
  readonly node: string;
  /** Opens those that are there now; `close` ends the handles that it made. */
  open(): Promise<OpenPlace>;
}

export interface OpenPlace {
  readonly namespaces: readonly OpenNamespace[];
  /** Names of pods that have the node's network, as `NAMESPACE/NAME`. */
  readonly inNodeNetwork?: readonly string[];
  /** Others that veths may lead to; `close` leaves them open. */
  readonly beyond?: readonly NetNs[];
  close(): void;
}

export interface ObserverPages {
  /** A report. `?conntrack=1` with connections, `?processes=0` without the names of processes. */
  network(query: URLSearchParams): Promise<Json>;
  /** Sends what the body (ProbeRequest) says. Throws InputError for one that is not understood or starts elsewhere. */
  probe(body: unknown, signal: AbortSignal): Promise<Json>;
  /** What the body (WatchRequest) asks for, line by line, until `signal` is aborted or the time is up. */
  packets(body: unknown, signal: AbortSignal): AsyncIterable<Json>;
}

export function observerPages(place: ObservedPlace): ObserverPages {
  return {
    async network(query) {
      const opened = await place.open();
      try {
        return encodeReport(await readReport({ node: place.node, ...opened }, parseNetworkQuery(query)));
      } finally {
        opened.close();
      }
    },
    async probe(body, signal) {
      const request = parseProbeRequest(body);
      const opened = await place.open();
      try {
        const { ns } = namespaceOf(request.from, place.node, opened);
        return encodeJson(await probe(ns, request, signal));
      } finally {
        opened.close();
      }
    },
    // What is not understood is refused before the first line.
    packets: (body, signal) => watchLines(place, parseWatchRequest(body), signal),
  };
}

async function* watchLines(place: ObservedPlace, request: WatchRequest, signal: AbortSignal): AsyncGenerator<Json> {
  const opened = await place.open();
  try {
    const source = { node: place.node, namespaces: opened.namespaces };
    for await (const sighting of watch(source, request, signal)) yield encodeJson(sighting);
  } finally {
    opened.close();
  }
}

function namespaceOf(from: Place, node: string, { namespaces, inNodeNetwork = [] }: OpenPlace): OpenNamespace {
  const name = from.kind === "pod" ? `${from.namespace}/${from.name}` : from.kind === "node" ? from.name : from.kind;
  const wanted = from.kind === "pod" && inNodeNetwork.includes(name) ? node : name;
  const found = namespaces.find((one) => one.name === wanted);
  if (found === undefined) throw new InputError("from", `there is no ${from.kind} "${name}" running on ${node}`);
  return found;
}
