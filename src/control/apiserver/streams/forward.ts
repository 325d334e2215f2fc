// Passing a request on: as an HTTP request whose answer is passed back, or, for upgrades, by joining the two connections byte for byte.
import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import { connect as netConnect, type Socket } from "node:net";
import { Duplex, type Readable } from "node:stream";
import { errorMessage } from "#base";
import { type StatusError, serviceUnavailable } from "../status.ts";

export interface Target {
  readonly host: string;
  readonly port: number;
  /** With the query. */
  readonly path: string;
  readonly tls: boolean;
  /** Added, in the place of the client's own credentials. */
  readonly headers: Readonly<Record<string, string>>;
}

// RFC 9110 §7.6.1; the client's credentials are for us alone.
const NOT_FORWARDED: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "host",
  "authorization",
]);

export interface ForwardOptions {
  /** Sees the answer before it is passed back; may change its headers, or throw to answer something else. */
  readonly onResponse?: (response: IncomingMessage, headers: IncomingHttpHeaders) => Promise<void> | void;
  /** What the body passes through on its way back. */
  readonly bodyStreams?: (headers: IncomingHttpHeaders) => Promise<readonly Duplex[]>;
}

/** Resolves when the answer has been passed back. Throws ServiceUnavailable when nobody is there. */
export async function forwardRequest(
  req: IncomingMessage,
  res: ServerResponse,
  target: Target,
  options: ForwardOptions = {},
): Promise<void> {
  const response = await sendRequest(req, res, target);
  const headers: IncomingHttpHeaders = { ...response.headers };
  delete headers["connection"];
  delete headers["keep-alive"];
  delete headers["transfer-encoding"];
  await options.onResponse?.(response, headers);
  const streams = (await options.bodyStreams?.(headers)) ?? [];
  res.writeHead(response.statusCode ?? 502, headers);
  res.flushHeaders();
  await new Promise<void>((resolve) => {
    let body: Readable = response;
    for (const next of [...streams, res]) {
      body.once("error", () => res.destroy());
      body.pipe(next);
      if (next instanceof Duplex) body = next;
    }
    res.once("close", () => {
      response.destroy();
      resolve();
    });
  });
}

async function sendRequest(req: IncomingMessage, res: ServerResponse, target: Target): Promise<IncomingMessage> {
  const request = target.tls ? (await import("node:https")).request : httpRequest;
  return new Promise((resolve, reject) => {
    const out = request({
      host: target.host,
      port: target.port,
      path: target.path,
      method: req.method ?? "GET",
      headers: forwardedHeaders(req.headers, target),
      agent: false,
      // Pods have certificates of their own making; upstream does not verify them either.
      ...(target.tls ? { rejectUnauthorized: false } : {}),
    });
    out.once("response", resolve);
    out.once("error", (err) => reject(unreachable(target, err)));
    res.once("close", () => out.destroy());
    req.pipe(out);
  });
}

function forwardedHeaders(headers: IncomingHttpHeaders, target: Target): Record<string, string | string[]> {
  const kept: Record<string, string | string[]> = { host: hostHeader(target), connection: "close" };
  for (const [name, value] of Object.entries(headers)) if (value !== undefined && !NOT_FORWARDED.has(name)) kept[name] = value;
  return { ...kept, ...target.headers };
}

export function hostHeader({ host, port }: Target): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}

function unreachable(target: Target, err: unknown): StatusError {
  return serviceUnavailable(`error trying to reach service: dial tcp ${hostHeader(target)}: ${errorMessage(err)}`);
}

/**
 * Joins an upgraded connection with the target: the target answers the handshake itself, so WebSocket and SPDY pass alike. Rejects while
 * nothing has been answered; resolves when the connection is made.
 */
export async function forwardUpgrade(req: IncomingMessage, client: Duplex, head: Buffer, target: Target): Promise<void> {
  const upstream = await dial(target);
  if (client.destroyed) {
    // It went while this was waiting: nobody is to run a command for it.
    upstream.destroy();
    return;
  }
  client.on("error", () => upstream.destroy());
  upstream.on("error", () => client.destroy());
  client.once("close", () => upstream.destroy());
  upstream.once("close", () => client.destroy());
  upstream.write(upgradeHead(req, target));
  if (head.length > 0) upstream.write(head);
  upstream.pipe(client);
  client.pipe(upstream);
}

async function dial(target: Target): Promise<Socket> {
  const socket = target.tls
    ? (await import("node:tls")).connect({ host: target.host, port: target.port, rejectUnauthorized: false })
    : netConnect({ host: target.host, port: target.port, noDelay: true });
  return new Promise((resolve, reject) => {
    const fail = (err: unknown): void => reject(unreachable(target, err));
    socket.once("error", fail);
    socket.once(target.tls ? "secureConnect" : "connect", () => {
      socket.off("error", fail);
      resolve(socket);
    });
  });
}

/** The request line and headers as they came, but for host, credentials and path. */
function upgradeHead(req: IncomingMessage, target: Target): string {
  const lines = [`${req.method ?? "GET"} ${target.path} HTTP/1.1`, `Host: ${hostHeader(target)}`];
  for (let i = 0; i + 1 < req.rawHeaders.length; i += 2) {
    const name = req.rawHeaders[i] ?? "";
    const lower = name.toLowerCase();
    if (lower === "host" || lower === "authorization") continue;
    lines.push(`${name}: ${withoutToken(lower, req.rawHeaders[i + 1] ?? "")}`);
  }
  for (const [name, value] of Object.entries(target.headers)) lines.push(`${name}: ${value}`);
  return `${lines.join("\r\n")}\r\n\r\n`;
}

/** A bearer token may have come as a subprotocol of the WebSocket. */
function withoutToken(name: string, value: string): string {
  if (name !== "sec-websocket-protocol") return value;
  return value
    .split(",")
    .map((protocol) => protocol.trim())
    .filter((protocol) => !protocol.startsWith("base64url.bearer."))
    .join(", ");
}
