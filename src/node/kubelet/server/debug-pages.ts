// GET and POST /debug/NAME/…: what else runs on the node answers, in JSON, or line by line as long as the client listens.
import type { IncomingMessage, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { InputError } from "#base";

interface DebugRequest {
  /** What follows the page's name. */
  readonly path: readonly string[];
  readonly query: URLSearchParams;
  /** Of a POST; undefined without one. */
  readonly body: unknown;
  /** Aborted when the client has gone. */
  readonly signal: AbortSignal;
}

/** An object is the answer; what is iterated asynchronously, a line of JSON for each value; undefined is not found. */
type DebugPage = (request: DebugRequest) => Promise<unknown>;

/** By NAME. */
export type DebugPages = Readonly<Record<string, DebugPage>>;

/** A body says which packets to watch, or what to send. */
const MAX_BODY_BYTES = 64 * 1024;

/** False where no page answers. Throws what the page throws, unless it has begun to answer. */
export async function serveDebugPage(
  pages: DebugPages,
  { req, res, url, path: [name = "", ...path] }: { req: IncomingMessage; res: ServerResponse; url: URL; path: readonly string[] },
): Promise<boolean> {
  const gone = new AbortController();
  res.once("close", () => gone.abort());
  const body = req.method === "POST" ? await readJson(req) : undefined;
  const answer = await pages[name]?.({ path, query: url.searchParams, body, signal: gone.signal });
  if (typeof answer !== "object" || answer === null) return false;
  if (isAsyncIterable(answer)) {
    res.writeHead(200, { "content-type": "application/x-ndjson" });
    res.flushHeaders();
    await pipeline(Readable.from(lines(answer), { objectMode: false }), res).catch(() => undefined);
    return true;
  }
  res.writeHead(200, { "content-type": "application/json" });
  res.end(JSON.stringify(answer));
  return true;
}

function isAsyncIterable(value: object): value is AsyncIterable<unknown> {
  return Symbol.asyncIterator in value;
}

async function* lines(values: AsyncIterable<unknown>): AsyncGenerator<string> {
  for await (const value of values) yield `${JSON.stringify(value)}\n`;
}

async function readJson(req: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of req as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) throw new InputError("body", `more than ${MAX_BODY_BYTES} bytes`);
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString();
  if (text === "") return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new InputError("body", "not JSON");
  }
}
