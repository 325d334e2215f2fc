// The sandbox's door for the host: a Unix socket on which one line of JSON asks and one line answers, or a stream begins.
import type { Socket as UdpSocket } from "node:dgram";
import { rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { errorMessage, FairleadError } from "#base";
import type { ObserverPages } from "#observe";
import { joinDatagrams } from "./datagrams.ts";
import { isNodePort, type NodePort } from "./node-ports.ts";
import type { ComponentStatus } from "./supervise.ts";

export type ControlRequest =
  /** Answered with `SandboxStatus`. */
  | { readonly op: "status" }
  /**
   * A connection from `outside` to a NodePort; after an empty answer `{}` the socket is that connection, for UDP with each datagram's
   * length before it (`datagrams.ts`).
   */
  | ({ readonly op: "dial-node-port" } & NodePort)
  /** A line `{ports: NodePort[]}` now and whenever the NodePorts change. */
  | { readonly op: "node-ports" }
  /** As the debug pages of a node, for the namespaces `underlay` and `outside`: a line, and of "packets" one line after another. */
  | { readonly op: "network"; readonly query?: string }
  | { readonly op: "probe" | "packets"; readonly body: unknown };

export interface SandboxStatus {
  readonly components: readonly ComponentStatus[];
}

export interface ControlHandlers {
  status(): SandboxStatus;
  /** Resolves when the connection stands. */
  dialNodePort(port: number): Promise<Socket>;
  openNodePort(port: number): Promise<UdpSocket>;
  /** Calls `listener` at once and for every change; the returned function ends that. */
  watchNodePorts(listener: (ports: readonly NodePort[]) => void): () => void;
  observer(): Promise<ObserverPages>;
}

export function serveControl(path: string, handlers: ControlHandlers): Server {
  rmSync(path, { force: true });
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => socket.destroy());
    readLine(socket)
      .then((line) => answer(socket, parseRequest(line), handlers))
      .catch((err) => socket.end(`${JSON.stringify({ error: errorMessage(err) })}\n`));
  });
  return server.listen(path);
}

/** The first line of `socket`, which is left paused with what followed it unread. */
function readLine(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = Buffer.alloc(0);
    const end = (): void => reject(new FairleadError("the connection ended before a line came", { code: "EPIPE" }));
    const read = (): void => {
      for (let chunk: Buffer | null = socket.read(); chunk !== null; chunk = socket.read()) {
        text = Buffer.concat([text, chunk]);
        const newline = text.indexOf(10);
        if (newline < 0) continue;
        socket.off("readable", read).off("end", end).off("close", end);
        const rest = text.subarray(newline + 1);
        if (rest.length > 0) socket.unshift(rest);
        resolve(text.subarray(0, newline).toString());
        return;
      }
    };
    socket.on("readable", read).once("end", end).once("close", end);
  });
}

function parseRequest(line: string): ControlRequest {
  const value: unknown = JSON.parse(line);
  if (typeof value === "object" && value !== null && "op" in value) {
    if (value.op === "status" || value.op === "node-ports") return { op: value.op };
    if (value.op === "network") return { op: value.op, ...("query" in value && { query: String(value.query) }) };
    if ((value.op === "probe" || value.op === "packets") && "body" in value) return { op: value.op, body: value.body };
    if (value.op === "dial-node-port" && isNodePort(value)) return { op: value.op, port: value.port, protocol: value.protocol };
  }
  throw new FairleadError(`control request not understood: ${line}`, { code: "BadRequest" });
}

async function answer(socket: Socket, request: ControlRequest, handlers: ControlHandlers): Promise<void> {
  switch (request.op) {
    case "status":
      socket.end(`${JSON.stringify(handlers.status())}\n`);
      return;
    case "dial-node-port": {
      if (request.protocol === "UDP") {
        const udp = await handlers.openNodePort(request.port);
        socket.write("{}\n");
        joinDatagrams(socket, udp);
        return;
      }
      const upstream = await handlers.dialNodePort(request.port);
      socket.write("{}\n");
      join(socket, upstream);
      return;
    }
    case "node-ports": {
      const stop = handlers.watchNodePorts((ports) => socket.write(`${JSON.stringify({ ports })}\n`));
      socket.once("close", stop).once("end", () => socket.end());
      socket.resume();
      return;
    }
    default:
      await observe(socket, request, await handlers.observer());
  }
}

/** Until it is told all, or the client has gone. */
async function observe(socket: Socket, request: ControlRequest, pages: ObserverPages): Promise<void> {
  const gone = new AbortController();
  const end = (): void => gone.abort();
  socket.once("close", end).once("end", end).resume();
  if (request.op === "network") socket.write(`${JSON.stringify(await pages.network(new URLSearchParams(request.query)))}\n`);
  if (request.op === "probe") socket.write(`${JSON.stringify(await pages.probe(request.body, gone.signal))}\n`);
  if (request.op === "packets") {
    for await (const line of pages.packets(request.body, gone.signal)) socket.write(`${JSON.stringify(line)}\n`);
  }
  socket.end();
}

/** Carries bytes both ways, half-closes included; an error of one side ends both, also one from before. */
export function join(a: Socket, b: Socket): void {
  if (a.destroyed || b.destroyed) {
    a.destroy();
    b.destroy();
    return;
  }
  a.pipe(b).pipe(a);
  a.on("error", () => b.destroy()).on("close", () => b.destroy());
  b.on("error", () => a.destroy()).on("close", () => a.destroy());
}

/** The client's side: sends `request` and returns the answer's first line with the socket, ready for what follows. */
export async function askControl(path: string, request: ControlRequest, signal?: AbortSignal): Promise<{ line: string; socket: Socket }> {
  const { connect } = await import("node:net");
  const socket = connect({ path, allowHalfOpen: true, ...(signal && { signal }) });
  await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
  socket.write(`${JSON.stringify(request)}\n`);
  return { line: await readLine(socket), socket };
}

/** Further lines of a stream that `askControl` began. */
export function controlLines(socket: Socket): AsyncIterable<string> {
  return createInterface({ input: socket });
}
