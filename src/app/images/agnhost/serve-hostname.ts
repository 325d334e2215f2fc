// `agnhost serve-hostname`: answers with the host name over HTTP, raw TCP or UDP.
import { createServer } from "node:http";
import { createServer as createTcpServer } from "node:net";
import { parseFlags } from "./flags.ts";
import { fatal, formatPeer, hostName, log } from "./output.ts";
import { serveUdp } from "./udp.ts";

/** How long the original goes on serving after SIGTERM, so that a load balancer has time to notice. */
const DRAIN_MS = 60_000;

export function serveHostname(args: readonly string[]): void {
  const { values } = parseFlags(args, { tcp: false, udp: false, http: true, close: false, port: 9376 });
  if (values.http && (values.tcp || values.udp)) fatal("Can't server TCP/UDP mode and HTTP mode at the same time");
  const { port } = values;
  if (values.tcp) serveTcp(port);
  if (values.udp) serveUdp(port, answerUdp, () => {});
  if (values.http) serveHttp(port, values.close);
  log(`Serving on port ${port}.`);
  process.removeAllListeners("SIGTERM");
  process.on("SIGTERM", () => {
    log("Shutting down after receiving signal: terminated.");
    log("Awaiting pod deletion.");
    setTimeout(() => process.exit(0), DRAIN_MS);
  });
}

function answerUdp(_: Buffer, peer: string): string {
  log(`UDP request from ${peer}`);
  return hostName();
}

function serveTcp(port: number): void {
  const server = createTcpServer((socket) => {
    log(`TCP request from ${formatPeer(socket.remoteAddress, socket.remotePort)}`);
    socket.on("error", () => {});
    socket.end(hostName());
  });
  server.on("error", (err) => fatal(`Error from net.Listen(): ${err.message}`));
  server.listen(port);
}

function serveHttp(port: number, close: boolean): void {
  const server = createServer((req, res) => {
    log(`HTTP request from ${formatPeer(req.socket.remoteAddress, req.socket.remotePort)}`);
    res.writeHead(200, { "content-type": "text/plain; charset=utf-8", ...(close ? { connection: "close" } : {}) });
    res.end(hostName());
  });
  server.on("error", (err) => fatal(err.message));
  server.listen(port);
}
