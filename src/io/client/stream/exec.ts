// Exec over WebSocket, subprotocol v5.channel.k8s.io: each binary message begins with the number of its stream
// (apimachinery `util/remotecommand/constants.go`; KEP-4006). v5 adds message 255, which closes a stream.
import type { IncomingMessage } from "node:http";
import { isIP, connect as netConnect } from "node:net";
import { checkServerIdentity, connect as tlsConnect } from "node:tls";
import { type RawData, WebSocket } from "ws";
import { errorMessage, FairleadError } from "#base";
import { formatKey, type ObjectKey, PODS, resourcePath } from "#kube";
import type { ClientConfig } from "../config.ts";
import type { ApiError, ApiStatus } from "../errors.ts";
import { apiError, statusError } from "../transport.ts";

export interface TerminalSize {
  readonly width: number;
  readonly height: number;
}

export interface ExecOptions {
  readonly command: readonly string[];
  readonly container?: string | undefined;
  readonly tty?: boolean | undefined;
  /** What the process reads; its end is passed on. Absent: nothing is attached. */
  readonly stdin?: AsyncIterable<Uint8Array> | undefined;
  readonly onStdout: (chunk: Buffer) => void;
  /** Not called with `tty`: a terminal has one stream. */
  readonly onStderr: (chunk: Buffer) => void;
  readonly resizes?: AsyncIterable<TerminalSize> | undefined;
  readonly signal?: AbortSignal | undefined;
}

const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;
const STATUS = 3;
const RESIZE = 4;
const CLOSE = 255;

/** Runs a command in a container and returns its exit code. Throws ApiError when it could not be started. */
export async function exec(config: ClientConfig, pod: ObjectKey, options: ExecOptions): Promise<number> {
  const op = `exec in pod ${formatKey(pod)}`;
  const socket = openSocket(config, execPath(pod, options));
  const onAbort = (): void => socket.terminate();
  options.signal?.addEventListener("abort", onAbort, { once: true });
  try {
    // Listening before the connection opens: what the server sends at once would be missed otherwise.
    const ended = exitCode(socket, options, op);
    ended.catch(() => undefined);
    await opened(socket, op);
    // Input that fails does not end the command: its result is what counts.
    if (options.stdin !== undefined) void sendInput(socket, options.stdin).catch(() => socket.close());
    if (options.resizes !== undefined) void sendResizes(socket, options.resizes).catch(() => undefined);
    return await ended;
  } finally {
    options.signal?.removeEventListener("abort", onAbort);
    socket.close();
  }
}

function execPath(pod: ObjectKey, options: ExecOptions): string {
  const query = new URLSearchParams();
  for (const word of options.command) query.append("command", word);
  if (options.container !== undefined) query.set("container", options.container);
  if (options.stdin !== undefined) query.set("stdin", "true");
  query.set("stdout", "true");
  if (options.tty === true) query.set("tty", "true");
  else query.set("stderr", "true");
  return `${resourcePath(PODS, { namespace: pod.namespace ?? "default", name: pod.name }, "exec")}?${query.toString()}`;
}

function openSocket(config: ClientConfig, path: string): WebSocket {
  const url = new URL(config.server);
  const { socketPath } = config;
  const tls = {
    ca: config.ca,
    cert: config.cert,
    key: config.key,
    rejectUnauthorized: config.insecureSkipTlsVerify !== true,
  };
  const overUnixSocket = {
    createConnection: () =>
      url.protocol === "https:"
        ? // The certificate is checked against this name; an address must not be sent as one (RFC 6066 §3).
          tlsConnect({ ...tls, path: socketPath ?? "", ...serverName(config.tlsServerName ?? url.hostname.replace(/^\[|\]$/g, "")) })
        : netConnect(socketPath ?? ""),
  };
  const address = `${url.protocol === "https:" ? "wss" : "ws"}://${url.host}${url.pathname.replace(/\/$/, "")}${path}`;
  return new WebSocket(address, "v5.channel.k8s.io", {
    headers: config.token === undefined ? {} : { authorization: `Bearer ${config.token}` },
    perMessageDeflate: false,
    ...tls,
    ...(config.tlsServerName === undefined ? {} : { servername: config.tlsServerName }),
    ...(socketPath === undefined ? {} : overUnixSocket),
  });
}

function serverName(name: string): { servername?: string; checkServerIdentity?: typeof checkServerIdentity } {
  if (isIP(name) === 0) return { servername: name };
  return { checkServerIdentity: (_, certificate) => checkServerIdentity(name, certificate) };
}

function opened(socket: WebSocket, op: string): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once("open", resolve);
    socket.once("error", (err) => reject(new FairleadError(`Cannot ${op}: ${errorMessage(err)}`, { code: "NoAnswer", op, cause: err })));
    socket.once("unexpected-response", (_, response: IncomingMessage) => {
      refusal(response, op).then(reject, reject);
    });
  });
}

async function refusal(response: IncomingMessage, op: string): Promise<ApiError> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  return apiError(op, response.statusCode ?? 0, Buffer.concat(chunks));
}

function exitCode(socket: WebSocket, options: ExecOptions, op: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const settle = (outcome: number | ApiError): void => (typeof outcome === "number" ? resolve(outcome) : reject(outcome));
    socket.on("message", (data: RawData) => {
      const message = toBuffer(data);
      const body = message.subarray(1);
      if (message[0] === STDOUT) options.onStdout(body);
      else if (message[0] === STDERR) options.onStderr(body);
      else if (message[0] === STATUS) settle(outcomeOf(parseStatus(body), op));
    });
    const lost = new FairleadError(`Cannot ${op}: the connection closed before the command's result came`, { code: "ConnectionLost", op });
    socket.once("close", () => reject(lost));
    socket.on("error", (err) =>
      reject(new FairleadError(`Cannot ${op}: ${errorMessage(err)}`, { code: "ConnectionLost", op, cause: err })),
    );
  });
}

function toBuffer(data: RawData): Buffer {
  if (Buffer.isBuffer(data)) return data;
  return Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data);
}

type ExecStatus = Partial<ApiStatus> & { readonly status?: string };

function parseStatus(body: Buffer): ExecStatus {
  const parsed: unknown = JSON.parse(body.toString("utf8"));
  return typeof parsed === "object" && parsed !== null ? parsed : {};
}

function outcomeOf(status: ExecStatus, op: string): number | ApiError {
  if (status.status === "Success") return 0;
  // client-go `tools/remotecommand/v4.go`: a command that ran and failed is NonZeroExitCode with a cause ExitCode.
  const cause = status.details?.causes?.find((c) => c.reason === "ExitCode");
  const code = Number.parseInt(cause?.message ?? "", 10);
  return status.reason === "NonZeroExitCode" && Number.isInteger(code) ? code : statusError(op, status);
}

function send(socket: WebSocket, channel: number, body: Uint8Array): Promise<void> {
  const message = Buffer.concat([Buffer.from([channel]), body]);
  return new Promise((resolve, reject) => socket.send(message, (err) => (err ? reject(err) : resolve())));
}

async function sendInput(socket: WebSocket, input: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const chunk of input) await send(socket, STDIN, chunk);
  await send(socket, CLOSE, Buffer.from([STDIN]));
}

async function sendResizes(socket: WebSocket, sizes: AsyncIterable<TerminalSize>): Promise<void> {
  for await (const { width, height } of sizes) await send(socket, RESIZE, Buffer.from(JSON.stringify({ Width: width, Height: height })));
}
