// The little that these servers need of HTTP: parameters, text answers, a request with a time limit.
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { joinHostPort } from "./output.ts";

export interface Call {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly url: URL;
  /** A parameter of the query, or of an `application/x-www-form-urlencoded` body; "" when absent (Go `Request.FormValue`). */
  readonly param: (name: string) => string;
}

export type Handler = (call: Call) => void | Promise<void>;

/** Answers by path; "/" takes every path that no other handler has. */
export function serveRoutes(routes: Readonly<Record<string, Handler>>, tls?: { readonly cert: Buffer; readonly key: Buffer }): Server {
  const listener = (req: IncomingMessage, res: ServerResponse): void => {
    handle(routes, req, res).catch((err: unknown) => sendText(res, String(err), 500));
  };
  return tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
}

async function handle(routes: Readonly<Record<string, Handler>>, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const url = new URL(req.url ?? "/", "http://localhost");
  const form = await readForm(req);
  const handler = routes[url.pathname] ?? routes["/"];
  if (handler === undefined) return sendText(res, "404 page not found\n", 404);
  await handler({ req, res, url, param: (name) => form?.get(name) ?? url.searchParams.get(name) ?? "" });
}

const FORM_LIMIT = 1 << 20;

async function readForm(req: IncomingMessage): Promise<URLSearchParams | undefined> {
  if (!(req.headers["content-type"] ?? "").startsWith("application/x-www-form-urlencoded")) return undefined;
  return new URLSearchParams((await readAll(req, FORM_LIMIT)).toString());
}

export async function readAll(stream: AsyncIterable<Buffer>, limit: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream) {
    size += chunk.length;
    if (size > limit) throw new Error(`body is larger than ${limit} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

// The signatures of https://mimesniff.spec.whatwg.org/#identifying-a-resource-with-an-unknown-mime-type, by which Go's servers tell too.
const HTML = /^[\t\n\f\r ]*<(?:!doctype html|html|head|script|iframe|h1|div|font|table|a|style|title|b|body|br|p|!--)[ >]/i;

/** What a server says of a text that nobody said anything of. */
export function contentTypeOf(text: string): string {
  return HTML.test(text) ? "text/html; charset=utf-8" : "text/plain; charset=utf-8";
}

export function sendText(res: ServerResponse, text: string, code = 200): void {
  res.writeHead(code, { "content-type": contentTypeOf(text) });
  res.end(text);
}

const GET_TIMEOUT_MS = 5000;
const MAX_REDIRECTS = 10;
const BODY_LIMIT = 16 << 20;

/** The body of `http://host:port/path` whatever its status, over a connection of its own. Errors are worded as Go words them. */
export function httpGet(host: string, port: number | string, path: string): Promise<string> {
  return follow({ host, port, path }, AbortSignal.timeout(GET_TIMEOUT_MS), 0);
}

interface Target {
  readonly host: string;
  readonly port: number | string;
  readonly path: string;
}

async function follow({ host, port, path }: Target, signal: AbortSignal, redirects: number): Promise<string> {
  const target = `http://${joinHostPort(host, port)}/${path}`;
  try {
    const res = await new Promise<IncomingMessage>((resolve, reject) => {
      const req = request({ host, port, path: `/${path}`, agent: false, signal, headers: { host: joinHostPort(host, port) } }, resolve);
      req.on("error", reject);
      req.end();
    });
    const location = res.headers.location;
    const isRedirect = location !== undefined && (res.statusCode ?? 0) >= 300 && (res.statusCode ?? 0) < 400;
    if (!isRedirect || redirects >= MAX_REDIRECTS) return (await readAll(res, BODY_LIMIT)).toString();
    res.resume();
    const next = new URL(location, target);
    const nextHost = next.hostname.replace(/^\[|\]$/g, "");
    const nextTarget = { host: nextHost, port: next.port === "" ? 80 : next.port, path: `${next.pathname}${next.search}`.slice(1) };
    return await follow(nextTarget, signal, redirects + 1);
  } catch (err) {
    if (err instanceof GetError) throw err;
    throw new GetError(`Get "${target}": ${explain(err, joinHostPort(host, port))}`);
  }
}

class GetError extends Error {}

function explain(err: unknown, peer: string): string {
  if (err instanceof AggregateError) return explain(err.errors[0], peer);
  if (!(err instanceof Error)) return String(err);
  if (err.name === "AbortError" || err.name === "TimeoutError") {
    return "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
  }
  const code = "code" in err ? String(err.code) : "";
  if (code === "ECONNREFUSED") return `dial tcp ${peer}: connect: connection refused`;
  if (code === "EHOSTUNREACH") return `dial tcp ${peer}: connect: no route to host`;
  if (code === "ENETUNREACH") return `dial tcp ${peer}: connect: network is unreachable`;
  if (code === "ECONNRESET") return `read tcp ${peer}: read: connection reset by peer`;
  return err.message;
}
