// `agnhost netexec`: the server that network tests talk to. It says who it is, who asked, and asks others on request. The endpoints
// and what they answer are those of test/images/agnhost/netexec (its README section is the specification).
import { execFile } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import type { Server } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { dial } from "./dial.ts";
import { parseDuration, parseFlags } from "./flags.ts";
import { type Call, type Handler, readAll, sendText, serveRoutes } from "./http.ts";
import { fatal, formatPeer, hostName, log } from "./output.ts";
import { serveUdp } from "./udp.ts";

interface State {
  /** True while the UDP server answers; /healthz says so. */
  ready: boolean;
  /** SIGTERM has come; /readyz says so. */
  ending: boolean;
  shutdown: (code: number, timeoutMs: number) => void;
}

const FLAGS = {
  "http-port": 8080,
  "tls-cert-file": "",
  "tls-private-key-file": "",
  "udp-port": 8081,
  "sctp-port": -1,
  "http-override": "",
  "udp-listen-addresses": "",
  "delay-shutdown": 0,
} as const;

export function netexec(args: readonly string[]): void {
  const { values } = parseFlags(args, FLAGS);
  const state: State = { ready: false, ending: false, shutdown: (code) => process.exit(code) };
  if (values["udp-port"] !== -1) startUdp(values["udp-port"], values["udp-listen-addresses"], state);
  if (values["sctp-port"] !== -1) log("SCTP sockets are not available in this agnhost; --sctp-port is ignored");

  const certFile = values["tls-cert-file"];
  const tls = certFile === "" ? undefined : { cert: readFileSync(certFile), key: readFileSync(values["tls-private-key-file"]) };
  const routes = netexecRoutes(state);
  const server = serveRoutes(values["http-override"] === "" ? routes : overridden(routes, values["http-override"]), tls);
  state.shutdown = (code, timeoutMs) => shutdown(server, code, timeoutMs);
  server.on("error", (err) => fatal(err.message));
  server.listen(values["http-port"]);
  log(`Started HTTP server on port ${values["http-port"]}`);
  endOnSigterm(server, state, values["delay-shutdown"]);
}

/** Goes on serving for as long as `--delay-shutdown` says; clients that keep connections are asked to make new ones, elsewhere. */
function endOnSigterm(server: Server, state: State, delaySeconds: number): void {
  process.removeAllListeners("SIGTERM");
  process.once("SIGTERM", () => {
    state.ending = true;
    if (delaySeconds === 0) process.exit(0);
    log(`Sleeping ${delaySeconds} seconds before terminating...`);
    server.prependListener("request", (_, res) => res.setHeader("connection", "close"));
    setTimeout(() => process.exit(0), delaySeconds * 1000);
  });
}

function startUdp(port: number, addresses: string, state: State): void {
  const ready = (): void => {
    log(`Started UDP server on port  ${port}`);
    state.ready = true;
  };
  for (const address of new Set(addresses.split(","))) serveUdp(port, answerUdp, ready, address === "" ? undefined : address);
}

export function answerUdp(message: Buffer, peer: string): string | undefined {
  const text = message.toString().trim().toLowerCase();
  if (text === "hostname") return hostName();
  if (text === "clientip") return peer;
  if (text.startsWith("echo ")) return text.slice("echo ".length);
  if (text !== "") log(`Unknown UDP command received from ${peer}: ${text}`);
  return undefined;
}

function shutdown(server: Server, code: number, timeoutMs: number): void {
  server.close(() => process.exit(code));
  server.closeIdleConnections();
  setTimeout(() => process.exit(code), timeoutMs);
}

/** Every request is answered as if it asked for `override`. */
function overridden(routes: Readonly<Record<string, Handler>>, override: string): Record<string, Handler> {
  const url = new URL(override, "http://localhost");
  const handler = routes[url.pathname] ?? routes["/"];
  return { "/": (call) => handler?.({ ...call, url, param: (name) => url.searchParams.get(name) ?? "" }) };
}

export function netexecRoutes(state: State): Record<string, Handler> {
  const hostname: Handler = (call) => {
    log(`GET ${call.url.pathname}`);
    sendText(call.res, hostName());
  };
  return {
    "/": ({ res }) => {
      log("GET /");
      sendText(res, `NOW: ${new Date().toISOString().replace("T", " ").replace("Z", " +0000 UTC")}`);
    },
    "/clientip": ({ req, res }) => {
      log("GET /clientip");
      sendText(res, formatPeer(req.socket.remoteAddress, req.socket.remotePort));
    },
    "/serverport": ({ req, res }) => sendText(res, String(req.socket.localPort)),
    "/header": ({ req, res, param }) => sendText(res, String(req.headers[param("key").toLowerCase()] ?? "")),
    "/dial": dial,
    "/echo": echo,
    "/exit": (call) => exit(call, state),
    "/healthz": ({ res }) => sendText(res, "", state.ready ? 200 : 412),
    "/hostname": hostname,
    "/hostName": hostname,
    "/readyz": ({ res }) => {
      if (state.ending) sendText(res, "shutting down", 503);
      else sendText(res, state.ready ? "ok" : "", state.ready ? 200 : 412);
    },
    "/redirect": redirect,
    "/shell": shell,
    "/shutdown": () => process.exit(0),
    "/upload": upload,
  };
}

function parseCode(call: Call, fallback: number): number | undefined {
  const text = call.param("code");
  if (text === "") return fallback;
  if (/^-?\d+$/.test(text)) return Number(text);
  sendText(call.res, `argument 'code' must be an integer or empty, got ${JSON.stringify(text)}\n`);
  return undefined;
}

function echo(call: Call): void {
  log(`GET /echo?msg=${call.param("msg")}&code=${call.param("code")}`);
  const code = parseCode(call, 200);
  if (code !== undefined) sendText(call.res, call.param("msg"), code);
}

function redirect(call: Call): void {
  const code = parseCode(call, 302);
  if (code === undefined) return;
  call.res.writeHead(code, { location: call.param("location") });
  call.res.end();
}

async function exit(call: Call, state: State): Promise<void> {
  const timeoutMs = parseDuration(call.param("timeout") || "0");
  const waitMs = parseDuration(call.param("wait") || "0");
  const code = parseCode(call, 0);
  if (timeoutMs === undefined || waitMs === undefined) return sendText(call.res, "argument 'timeout' or 'wait' is not a duration\n");
  if (code === undefined) return;
  log(`Will begin shutdown in ${waitMs} ms, allowing ${timeoutMs} ms for connections to close, then will exit with ${code}`);
  await sleep(waitMs);
  if (timeoutMs === 0) process.exit(code);
  sendText(call.res, "");
  state.shutdown(code, timeoutMs);
}

function shell(call: Call): Promise<void> {
  const command = call.param("shellCommand") || call.param("cmd");
  log(`GET /shell?cmd=${command}`);
  return new Promise((resolve) => {
    execFile("/bin/sh", ["-c", `{ ${command}\n} 2>&1`], { maxBuffer: 64 << 20 }, (err, stdout) => {
      const status = err === null ? undefined : typeof err.code === "number" ? `exit status ${err.code}` : err.message;
      sendText(
        call.res,
        JSON.stringify({ ...(stdout === "" ? {} : { output: stdout }), ...(status === undefined ? {} : { error: status }) }),
      );
      resolve();
    });
  });
}

const UPLOAD_LIMIT = 256 << 20;

async function upload({ req, res }: Call): Promise<void> {
  const body = await readAll(req, UPLOAD_LIMIT);
  const form = await new Response(new Uint8Array(body), { headers: { "content-type": req.headers["content-type"] ?? "" } })
    .formData()
    .catch(() => undefined);
  const file = form?.get("file");
  if (file === null || file === undefined || typeof file === "string") return sendText(res, '{"error":"Unable to upload file."}', 500);
  mkdirSync("/uploads", { recursive: true });
  const path = `${mkdtempSync("/uploads/upload")}/file`;
  writeFileSync(path, new Uint8Array(await file.arrayBuffer()));
  chmodSync(path, 0o700);
  sendText(res, JSON.stringify({ output: path }), 201);
}
