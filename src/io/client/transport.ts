// One keep-alive HTTP connection pool to the API server, on node:http(s): `fetch` brings undici and about 8 MiB into every process.
import { readFileSync } from "node:fs";
import { Agent as HttpAgent, request as httpRequest, type IncomingHttpHeaders, type IncomingMessage, type RequestOptions } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { errorCode, errorMessage, FairleadError } from "#base";
import type { ClientConfig } from "./config.ts";
import { isStatusObject } from "./decode.ts";
import { ApiError, type ApiStatus } from "./errors.ts";

export interface HttpRequest {
  readonly method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** With the query string. */
  readonly path: string;
  /** The words of the caller, for errors: `get pods default/web`. */
  readonly op: string;
  readonly body?: unknown;
  readonly contentType?: string | undefined;
  readonly accept?: string | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface HttpResponse {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface Transport {
  /** Whatever the status: the whole body. */
  send(request: HttpRequest): Promise<HttpResponse>;
  /** The response's stream when the status is 2xx; ApiError otherwise. */
  open(request: HttpRequest): Promise<IncomingMessage>;
  close(): void;
}

const DEFAULT_TIMEOUT_MS = 30_000;
const REFUSED_PAUSE_MS = 20;
const MAX_CALLS = 6;

export function createTransport(config: ClientConfig): Transport {
  const pool = connectionPool(config);
  const send = (request: HttpRequest): Promise<HttpResponse> => exchange(pool, request);
  return {
    send: async (request) => {
      const until = request.method === "GET" ? Date.now() + (config.retryRefusedMs ?? 0) : 0;
      for (;;) {
        try {
          return await send(request);
        } catch (err) {
          if (!isRefused(err) || Date.now() + REFUSED_PAUSE_MS > until || request.signal?.aborted === true) throw err;
        }
        await new Promise((resolve) => setTimeout(resolve, REFUSED_PAUSE_MS));
      }
    },
    async open(request) {
      const response = await start(pool, request, 0);
      const status = response.statusCode ?? 0;
      if (status >= 200 && status < 300) return response;
      throw apiError(request.op, status, await readAll(response, request.op));
    },
    close: () => {
      pool.calls.destroy();
      pool.streams.destroy();
    },
  };
}

interface Pool {
  /** For calls: kept, and not more than a server likes; more calls at once wait for each other. */
  readonly calls: HttpAgent | HttpsAgent;
  /** For watches and logs, which never end by themselves: as many as there are. */
  readonly streams: HttpAgent | HttpsAgent;
  readonly request: typeof httpRequest;
  readonly base: RequestOptions;
  readonly pathPrefix: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly token: () => string | undefined;
  readonly server: string;
  readonly timeoutMs: number;
}

function connectionPool(config: ClientConfig): Pool {
  const url = new URL(config.server);
  const secure = url.protocol === "https:";
  const keepAlive = { keepAlive: true, keepAliveMsecs: 30_000 };
  const kept = { ...keepAlive, maxFreeSockets: 4, maxSockets: MAX_CALLS, scheduling: "lifo" as const };
  const single = { ...keepAlive, maxFreeSockets: 0 };
  const tls = {
    ...(config.ca === undefined ? {} : { ca: config.ca }),
    ...(config.cert === undefined ? {} : { cert: config.cert }),
    ...(config.key === undefined ? {} : { key: config.key }),
    ...(config.tlsServerName === undefined ? {} : { servername: config.tlsServerName }),
    rejectUnauthorized: config.insecureSkipTlsVerify !== true,
  };
  const hostname = url.hostname.replace(/^\[(.*)\]$/, "$1");
  return {
    calls: secure ? new HttpsAgent({ ...kept, ...tls }) : new HttpAgent(kept),
    streams: secure ? new HttpsAgent({ ...single, ...tls }) : new HttpAgent(single),
    request: secure ? httpsRequest : httpRequest,
    base: config.socketPath === undefined ? { hostname, port: url.port || (secure ? 443 : 80) } : { socketPath: config.socketPath },
    pathPrefix: url.pathname.replace(/\/$/, ""),
    headers: {
      host: url.host,
      "user-agent": config.userAgent ?? "fairlead",
    },
    token: tokenSource(config),
    server: config.socketPath === undefined ? config.server : `unix:${config.socketPath}`,
    timeoutMs: config.timeoutMs ?? DEFAULT_TIMEOUT_MS,
  };
}

const TOKEN_MS = 60_000;

/** One that comes from a file is read again each minute; while the file cannot be read, the last one stays. */
function tokenSource({ token, tokenFile }: ClientConfig): () => string | undefined {
  if (tokenFile === undefined) return () => token;
  let known = token;
  let readAt = Date.now();
  return () => {
    if (Math.abs(Date.now() - readAt) < TOKEN_MS) return known;
    readAt = Date.now();
    try {
      known = readFileSync(tokenFile, "utf8").trim();
    } catch {
      // The server will say when it is not good any more.
    }
    return known;
  };
}

async function exchange(pool: Pool, request: HttpRequest): Promise<HttpResponse> {
  const response = await start(pool, request, pool.timeoutMs);
  return { status: response.statusCode ?? 0, headers: response.headers, body: await readAll(response, request.op) };
}

async function start(pool: Pool, request: HttpRequest, timeoutMs: number): Promise<IncomingMessage> {
  try {
    return await attempt(pool, request, timeoutMs);
  } catch (err) {
    // A kept connection that the server closed while we were writing; nothing of the answer was read. Creates are not repeated:
    // the server may have seen them.
    if (err instanceof StaleConnection && request.method !== "POST") return await attempt(pool, request, timeoutMs).catch(unwrapStale);
    return unwrapStale(err);
  }
}

class StaleConnection extends Error {}

function unwrapStale(err: unknown): never {
  throw err instanceof StaleConnection ? err.cause : err;
}

function attempt(pool: Pool, request: HttpRequest, timeoutMs: number): Promise<IncomingMessage> {
  const body = request.body === undefined ? undefined : JSON.stringify(request.body);
  const token = pool.token();
  return new Promise((resolve, reject) => {
    const req = pool.request({
      ...pool.base,
      agent: timeoutMs === 0 ? pool.streams : pool.calls,
      method: request.method,
      path: pool.pathPrefix + request.path,
      headers: {
        ...pool.headers,
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        accept: request.accept ?? "application/json",
        ...(body === undefined
          ? {}
          : { "content-type": request.contentType ?? "application/json", "content-length": Buffer.byteLength(body) }),
        ...request.headers,
      },
      timeout: timeoutMs,
      ...(request.signal === undefined ? {} : { signal: request.signal }),
    });
    req.on("timeout", () => {
      req.destroy(Object.assign(new Error(`no answer within ${timeoutMs} ms`), { code: "ETIMEDOUT" }));
    });
    req.on("response", resolve);
    req.on("error", (err) => {
      const failure = noAnswer(pool, request, err);
      const stale = req.reusedSocket && (errorCode(err) === "ECONNRESET" || errorCode(err) === "EPIPE");
      reject(stale ? new StaleConnection("stale", { cause: failure }) : failure);
    });
    req.end(body);
  });
}

function noAnswer(pool: Pool, request: HttpRequest, err: unknown): FairleadError {
  const aborted = request.signal?.aborted === true;
  return new FairleadError(`Cannot ${request.op} at ${pool.server}: ${aborted ? "aborted" : errorMessage(err)}`, {
    code: aborted ? "Aborted" : (errorCode(err) ?? "NoAnswer"),
    op: request.op,
    facts: { server: pool.server },
    cause: err,
  });
}

function isRefused(err: unknown): boolean {
  const code = errorCode(err);
  // ENOENT: the Unix socket is not there yet.
  return code === "ECONNREFUSED" || code === "ENOENT";
}

async function readAll(response: IncomingMessage, op: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of response) chunks.push(chunk);
  } catch (err) {
    throw connectionLost(op, err);
  }
  return chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks);
}

export function connectionLost(op: string, cause: unknown): FairleadError {
  return new FairleadError(`Cannot ${op}: the connection broke in the middle of the answer (${errorMessage(cause)})`, {
    code: "ConnectionLost",
    op,
    cause,
  });
}

/** The Status in `body`, or one made from the HTTP status when there is none (a proxy's answer, plain text). */
export function apiError(op: string, httpStatus: number, body: Buffer): ApiError {
  return statusError(op, parseStatus(body), httpStatus, body.toString("utf8", 0, 300).trim());
}

export function statusError(op: string, status: Partial<ApiStatus>, httpStatus: number = 500, text: string = ""): ApiError {
  const message =
    status.message !== undefined && status.message !== "" ? status.message : `HTTP ${httpStatus}${text === "" ? "" : `: ${text}`}`;
  return new ApiError(op, {
    ...status,
    code: status.code ?? httpStatus,
    reason: status.reason !== undefined && status.reason !== "" ? status.reason : reasonOf(httpStatus),
    message,
  });
}

function parseStatus(body: Buffer): Partial<ApiStatus> {
  try {
    const parsed: unknown = JSON.parse(body.toString("utf8"));
    return isStatusObject(parsed) ? parsed : {};
  } catch {
    return {};
  }
}

// apimachinery `api/errors.NewGenericServerResponse`.
const REASONS: Readonly<Record<number, string>> = {
  400: "BadRequest",
  401: "Unauthorized",
  403: "Forbidden",
  404: "NotFound",
  405: "MethodNotAllowed",
  406: "NotAcceptable",
  409: "Conflict",
  410: "Gone",
  413: "RequestEntityTooLarge",
  415: "UnsupportedMediaType",
  422: "Invalid",
  429: "TooManyRequests",
  500: "InternalError",
  503: "ServiceUnavailable",
  504: "Timeout",
};

function reasonOf(httpStatus: number): string {
  return REASONS[httpStatus] ?? "Unknown";
}
