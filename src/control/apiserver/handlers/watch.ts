// Watch: from a version, from the present, or with the present state first (WatchList, KEP-3157).
import { randomInt } from "node:crypto";
import { isStoreError, type Page } from "#store";
import type { ResourceCall } from "../http/call.ts";
import { negotiate } from "../http/negotiate.ts";
import { includeObjectOf, warningHeaders } from "../http/respond.ts";
import { parseWatchOptions, type WatchOptions } from "../registry/list-options.ts";
import { parseSelection, type Selection } from "../registry/select.ts";
import type { ObjectVersion } from "../registry/version.ts";
import { expired, type StatusError } from "../status.ts";
import { createEncoder, type LineEncoder, line } from "../watch/encode.ts";
import { WatchStream } from "../watch/stream.ts";
import type { Watches } from "../watch/watches.ts";
import { drained, untilRevision } from "./list.ts";

// Without timeoutSeconds a watch lasts 30 to 60 minutes, spread so that clients do not all come back at once (endpoints/handlers/get.go).
const MIN_TIMEOUT_S = 1800;
const WRITE_BYTES = 128 * 1024;

export async function handleWatch(call: ResourceCall, watches: Watches): Promise<void> {
  const { served, registry } = call;
  const options = parseWatchOptions(call.query);
  const media = negotiate(call.req.headers.accept);
  const selection = parseSelection(served, call.path.namespace, call.query, call.path.name);
  if (options.resourceVersion !== undefined) await untilRevision(registry, options.resourceVersion);
  const encoder = createEncoder(served, { media, includeObject: includeObjectOf(call.query), now: () => registry.clock.now() });
  const stream = new WatchStream(call.res, { selection, encoder, bookmarks: options.bookmarks });
  call.res.writeHead(200, { "content-type": "application/json", "cache-control": "no-cache, private", ...warningHeaders(call.warnings) });
  call.res.flushHeaders();
  const wantsInitial = options.sendInitialEvents ?? (options.resourceVersion === undefined || options.resourceVersion === 0);
  const from = wantsInitial || options.resourceVersion === undefined ? registry.store.revision : options.resourceVersion;
  let unsubscribe: () => void;
  try {
    unsubscribe = watches.hub.subscribe(served, from, stream.listener);
  } catch (err) {
    if (!isStoreError(err, "Compacted")) throw err;
    return sendExpired(call, from, Number(err instanceof Error && "facts" in err ? (err.facts as { floor?: number }).floor : 0));
  }
  const timer = setTimeout(() => stream.end(), timeoutMs(options));
  watches.add(stream);
  call.res.once("close", () => {
    clearTimeout(timer);
    unsubscribe();
    watches.remove(stream);
  });
  if (wantsInitial) await sendInitial(call, { stream, encoder, selection, options });
  stream.live();
}

interface Initial {
  readonly stream: WatchStream;
  readonly encoder: LineEncoder;
  readonly selection: Selection;
  readonly options: WatchOptions;
}

/** Runs up to its first `await` in the same turn as the subscription, so that state and changes meet without a gap. */
async function sendInitial(call: ResourceCall, { stream, encoder, selection, options }: Initial): Promise<void> {
  const { served, registry } = call;
  const page: Page<ObjectVersion> = registry.store.list(served.table, { prefix: selection.prefix });
  let lines: Buffer[] = [];
  let size = 0;
  for (const entry of page.entries) {
    const version = served.present(entry.value);
    if (!selection.everything && !selection.matches(version.object)) continue;
    const bytes = encoder.initial(version);
    lines.push(bytes);
    size += bytes.length;
    if (size < WRITE_BYTES) continue;
    if (!stream.write(Buffer.concat(lines, size))) await drained(call);
    lines = [];
    size = 0;
  }
  if (options.sendInitialEvents === true && options.bookmarks) lines.push(encoder.bookmark(page.revision, true));
  if (lines.length > 0) stream.write(Buffer.concat(lines));
}

/** In the stream, as kube-apiserver tells it: clients look for the Status there. */
function sendExpired(call: ResourceCall, from: number, floor: number): void {
  const error: StatusError = expired(`too old resource version: ${from} (${floor})`);
  call.res.end(line("ERROR", error.status));
}

function timeoutMs({ timeoutSeconds }: WatchOptions): number {
  const seconds = timeoutSeconds ?? randomInt(MIN_TIMEOUT_S, MIN_TIMEOUT_S * 2);
  return Math.min(seconds, 2_000_000) * 1000;
}
