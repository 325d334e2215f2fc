// A watch as the API server streams it: one JSON event per line (apiserver `endpoints/handlers/watch.go`).
import type { IncomingMessage } from "node:http";
import type { KubeObject, Resource, Stored } from "#kube";
import { apiVersionOf } from "#kube";
import { isStatusObject, type StatusObject } from "./decode.ts";
import { connectionLost, statusError } from "./transport.ts";
import type { WatchEvent } from "./types.ts";

interface WireEvent {
  readonly type: string;
  readonly object: KubeObject | StatusObject;
}

const INITIAL_EVENTS_END = "k8s.io/initial-events-end";

/** Ends when the stream ends or is aborted; throws ApiError for an ERROR event, FairleadError when the connection breaks. */
export async function* readWatch<T extends KubeObject>(
  resource: Resource<T>,
  response: IncomingMessage,
  op: string,
  signal?: AbortSignal,
): AsyncGenerator<WatchEvent<T>> {
  try {
    for await (const line of readLines(response)) yield decodeEvent(resource, line, op);
  } catch (err) {
    if (signal?.aborted === true) return;
    if (!response.complete && !isDecoded(err)) throw connectionLost(op, err);
    throw err;
  } finally {
    response.destroy();
  }
}

function isDecoded(err: unknown): boolean {
  return err instanceof Error && "status" in err;
}

function decodeEvent<T extends KubeObject>(resource: Resource<T>, line: string, op: string): WatchEvent<T> {
  // The one place where the stream's text becomes typed: a server answers a resource's watch with objects of that resource.
  const event = JSON.parse(line) as WireEvent;
  if (event.type === "ERROR" || isStatusObject(event.object)) {
    throw statusError(op, isStatusObject(event.object) ? event.object : {});
  }
  const object = event.object as Stored<T>;
  if (event.type === "BOOKMARK") {
    const end = object.metadata.annotations?.[INITIAL_EVENTS_END] === "true";
    return { type: "BOOKMARK", resourceVersion: object.metadata.resourceVersion, initialEventsEnd: end };
  }
  if (event.type !== "ADDED" && event.type !== "MODIFIED" && event.type !== "DELETED") {
    throw statusError(op, { message: `the server sent a watch event of unknown type "${event.type}"` });
  }
  object.apiVersion ??= apiVersionOf(resource);
  object.kind ??= resource.kind;
  return { type: event.type, object };
}

const NEWLINE = 0x0a;

/** Lines of UTF-8 text; only the part after the last newline is kept between chunks. */
async function* readLines(chunks: AsyncIterable<Buffer>): AsyncGenerator<string> {
  let rest: Buffer[] = [];
  for await (const chunk of chunks) {
    let from = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, from)) {
      const part = chunk.subarray(from, end);
      const line = rest.length === 0 ? part.toString("utf8") : Buffer.concat([...rest, part]).toString("utf8");
      rest = [];
      from = end + 1;
      if (line !== "") yield line;
    }
    if (from < chunk.length) rest.push(chunk.subarray(from));
  }
  if (rest.length > 0) {
    const line = Buffer.concat(rest).toString("utf8").trim();
    if (line !== "") yield line;
  }
}
