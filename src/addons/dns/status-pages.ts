// What probes and Prometheus ask over HTTP, on CoreDNS's ports.
import { createServer, type Server } from "node:http";
import { errorMessage, FairleadError } from "#base";

export interface StatusPorts {
  /** 0: any free port; undefined: not served. */
  readonly health?: number | undefined;
  readonly ready?: number | undefined;
  readonly metrics?: number | undefined;
}

export interface StatusPages {
  readonly ports: StatusPorts;
  close(): void;
}

interface Page {
  readonly status: number;
  readonly body: string;
}

const OK: Page = { status: 200, body: "OK" };

/** `/health` says that the process lives, `/ready` that it answers for the cluster, `/metrics` what it did. */
export async function serveStatusPages(ports: StatusPorts, isReady: () => boolean, metrics: () => string): Promise<StatusPages> {
  const servers: Server[] = [];
  const serve = async (port: number | undefined, path: string, page: () => Page): Promise<number | undefined> => {
    if (port === undefined) return undefined;
    const server = await listenHttp(port, path, page);
    servers.push(server);
    const bound = server.address();
    return typeof bound === "object" && bound !== null ? bound.port : port;
  };
  const close = (): void => {
    for (const server of servers) {
      server.close();
      server.closeAllConnections();
    }
  };
  try {
    const health = await serve(ports.health, "/health", () => OK);
    // The names of what is not ready, as CoreDNS's ready plugin says them.
    const ready = await serve(ports.ready, "/ready", () => (isReady() ? OK : { status: 503, body: "kubernetes" }));
    const metricsPort = await serve(ports.metrics, "/metrics", () => ({ status: 200, body: metrics() }));
    return { ports: { health, ready, metrics: metricsPort }, close };
  } catch (err) {
    close();
    throw err;
  }
}

async function listenHttp(port: number, path: string, page: () => Page): Promise<Server> {
  const server = createServer((request, response) => {
    const found = request.url?.replace(/\?.*$/, "") === path;
    const { status, body } = found ? page() : { status: 404, body: "404 page not found\n" };
    response.writeHead(status, { "content-type": "text/plain; version=0.0.4; charset=utf-8", "content-length": Buffer.byteLength(body) });
    response.end(body);
  });
  // No host: both families where there are both (`node:net` falls back to IPv4 where IPv6 is off).
  await new Promise<void>((resolve, reject) => {
    server.once("error", (err) => {
      const message = `Cannot serve ${path} on port ${port}: ${errorMessage(err)}; choose another port or 0 for none`;
      reject(new FairleadError(message, { code: "ListenFailed", op: "serve status", facts: { port, path }, cause: err }));
    });
    server.listen(port, () => resolve());
  });
  return server;
}
