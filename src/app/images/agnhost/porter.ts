// `agnhost porter` serves what its environment says; `agnhost tcp-reset` closes connections in the middle.
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { createServer as createTcpServer } from "node:net";
import { parseFlags } from "./flags.ts";
import { contentTypeOf } from "./http.ts";
import { fatal, formatPeer, log } from "./output.ts";
import { serveUdp } from "./udp.ts";

interface Served {
  readonly port: number;
  readonly value: string;
  readonly json: boolean;
}

export async function porter(args: readonly string[]): Promise<void> {
  const { values } = parseFlags(args, { "json-response": false });
  let tls: TlsOptions | undefined;
  for (const [key, value = ""] of Object.entries(process.env)) {
    const [, kind = "TCP", port] = /^SERVE_(?:(TCP|UDP|TLS|SCTP)_)?PORT_(\d+)$/.exec(key) ?? [];
    if (port === undefined) continue;
    const served = { port: Number(port), value, json: values["json-response"] };
    if (kind === "TLS") tls ??= await tlsOptions();
    servePort(kind, served, tls);
  }
  setInterval(() => {}, 2 ** 31 - 1);
}

function servePort(kind: string, served: Served, tls: TlsOptions | undefined): void {
  const { port, value } = served;
  if (kind === "UDP") {
    const started = (): void => log(`Started UDP server on port ${port}`);
    serveUdp(port, () => value, started);
  } else if (kind === "SCTP") log(`SCTP sockets are not available in this agnhost; SERVE_SCTP_PORT_${port} is ignored`);
  else serveTcp(kind === "TLS" ? createTlsServer({ ...tls }) : createServer(), port, (req, res) => answer(req, res, served));
}

function answer(req: IncomingMessage, res: ServerResponse, { value, json }: Served): void {
  res.writeHead(200, { "content-type": json ? "application/json" : contentTypeOf(value) });
  res.end(json ? JSON.stringify({ Method: req.method, Body: value }) : value);
}

function serveTcp(server: Server, port: number, listener: RequestListener): void {
  server.on("request", listener);
  server.on("error", (err) => log(`server on port "${port}" failed: ${err.message}`));
  server.listen(port);
}

interface TlsOptions {
  readonly cert: string | Buffer;
  readonly key: string | Buffer;
}

/** The certificate that CERT_FILE and KEY_FILE name, or one of our own for `localhost`. */
async function tlsOptions(): Promise<TlsOptions> {
  const { CERT_FILE: certFile, KEY_FILE: keyFile } = process.env;
  if (certFile === undefined || keyFile === undefined) return await (await import("./self-signed.ts")).selfSigned();
  return { cert: readFileSync(certFile), key: readFileSync(keyFile) };
}

/** Reads a part of what the client sent and closes, which the kernel answers with RST where more had arrived. */
export function tcpReset(args: readonly string[]): void {
  const { values } = parseFlags(args, { port: 8080 });
  const server = createTcpServer({ pauseOnConnect: false }, (socket) => {
    const peer = formatPeer(socket.remoteAddress, socket.remotePort);
    socket.on("error", () => {});
    socket.once("data", () => {
      socket.resetAndDestroy();
      log(`TCP request from ${peer}`);
    });
  });
  server.on("error", (err) => fatal(`Error from net.Listen(): ${err.message}`));
  server.listen(values.port);
  log(`Serving on port ${values.port}.`);
}
