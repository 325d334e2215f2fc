// The kubelet's own server, which the API server asks for logs and commands (`pkg/kubelet/server`). Plain HTTP with a bearer token.
import { createHash, timingSafeEqual } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { type Duplex, Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { errorCode, errorMessage, FairleadError, InputError, type Logger } from "#base";
import type { AttachRequest, ContainerStatus, ExecSession, RuntimeService } from "#runtime";
import { containerStatusesOf, findContainer, type StoredPod } from "../pod-spec.ts";
import { type DebugPages, serveDebugPage } from "./debug-pages.ts";
import { type LogOptions, readLog } from "./log-reader.ts";
import { type RemoteStreams, type StreamRequest, serveSession } from "./remote.ts";
import type { Upgrade } from "./websocket.ts";

export type { DebugPages } from "./debug-pages.ts";

export interface KubeletServerOptions {
  readonly addresses: readonly string[];
  readonly port: number;
  readonly token: string;
  readonly nodeName: string;
  readonly runtime: RuntimeService;
  readonly pods: () => readonly StoredPod[];
  readonly debugPages?: DebugPages;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/** An answer other than success. */
class HttpError extends FairleadError {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message, { code: `Http${status}` });
    this.status = status;
  }
}

/** Resolves when it listens on all addresses. */
export async function serveKubelet(options: KubeletServerOptions): Promise<void> {
  const server = new KubeletServer(options);
  await Promise.all(options.addresses.map((address) => server.listen(address)));
}

class KubeletServer {
  readonly #options: KubeletServerOptions;

  constructor(options: KubeletServerOptions) {
    this.#options = options;
  }

  async listen(host: string): Promise<void> {
    const server = createServer((req, res) => void this.#request(req, res));
    server.on("upgrade", (req, socket, head) => void this.#upgrade(req, socket, head));
    this.#closeOnAbort(server);
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host, port: this.#options.port, ipv6Only: true }, resolve);
    });
  }

  #closeOnAbort(server: Server): void {
    const sockets = new Set<Duplex>();
    server.on("connection", (socket) => {
      sockets.add(socket);
      socket.once("close", () => sockets.delete(socket));
    });
    const close = (): void => {
      server.close();
      for (const socket of sockets) socket.destroy();
    };
    this.#options.signal.addEventListener("abort", close, { once: true });
  }

  async #request(req: IncomingMessage, res: ServerResponse): Promise<void> {
    try {
      const url = new URL(req.url ?? "/", "http://kubelet");
      if (url.pathname === "/healthz") return sendText(res, 200, "ok");
      this.#authenticate(req);
      const [, root, ...rest] = url.pathname.split("/").map(decodeURIComponent);
      if (root === "pods") return sendJson(res, { kind: "PodList", apiVersion: "v1", metadata: {}, items: this.#options.pods() });
      if (root === "metrics") return sendText(res, 200, await this.#metrics());
      if (root === "containerLogs") return await this.#logs(rest, url.searchParams, res);
      if (root === "debug") return await this.#debug(req, res, url, rest);
      if (root === "exec" || root === "attach" || root === "portForward")
        throw new HttpError(400, "unable to upgrade: missing upgrade headers in request");
      throw new HttpError(404, "404 page not found");
    } catch (err) {
      if (res.headersSent) res.destroy();
      else sendText(res, statusOf(err), errorMessage(err));
    }
  }

  #authenticate(req: IncomingMessage): void {
    const given = /^Bearer (.+)$/.exec(req.headers.authorization ?? "")?.[1] ?? "";
    const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
    if (!timingSafeEqual(digest(given), digest(this.#options.token))) throw new HttpError(401, "Unauthorized");
  }

  async #debug(req: IncomingMessage, res: ServerResponse, url: URL, path: readonly string[]): Promise<void> {
    const isServed = await serveDebugPage(this.#options.debugPages ?? {}, { req, res, url, path });
    if (!isServed) throw new HttpError(404, `this node knows nothing of ${path.join("/")}`);
  }

  async #metrics(): Promise<string> {
    const { runtime, nodeName } = this.#options;
    const pods = await runtime.listPodSandbox({ state: "ready" });
    const containers = await runtime.listContainers({ state: "running" });
    return [
      "# TYPE kubelet_node_name gauge",
      `kubelet_node_name{node="${nodeName}"} 1`,
      "# TYPE kubelet_running_pods gauge",
      `kubelet_running_pods ${pods.length}`,
      "# TYPE kubelet_running_containers gauge",
      `kubelet_running_containers{container_state="running"} ${containers.length}`,
      "",
    ].join("\n");
  }

  #findPod(namespace: string, name: string): StoredPod {
    const pod = this.#options.pods().find(({ metadata }) => metadata.namespace === namespace && metadata.name === name);
    if (pod === undefined)
      throw new HttpError(404, `pod "${name}" not found in namespace "${namespace}" on node ${this.#options.nodeName}`);
    return pod;
  }

  /** Of a container that the pod has, all instances, the newest first. */
  async #instances(pod: StoredPod, name: string): Promise<ContainerStatus[]> {
    if (findContainer(pod, name) === undefined) throw new HttpError(404, `container "${name}" not found in pod "${pod.metadata.name}"`);
    const all = await this.#options.runtime.listContainers({ podUid: pod.metadata.uid });
    return all.filter(({ metadata }) => metadata.name === name).sort((a, b) => b.metadata.attempt - a.metadata.attempt);
  }

  async #logs([namespace = "", podName = "", name = ""]: readonly string[], query: URLSearchParams, res: ServerResponse): Promise<void> {
    const options = logOptions(query);
    const pod = this.#findPod(namespace, podName);
    const [latest, older] = (await this.#instances(pod, name)).filter((status) => status.startedAtMs !== undefined);
    const previous = query.get("previous") === "true";
    const status = previous ? (latest?.state === "running" ? older : latest) : latest;
    if (status === undefined && previous) throw new HttpError(400, `previous terminated container "${name}" in pod "${podName}" not found`);
    if (status === undefined)
      throw new HttpError(400, `container "${name}" in pod "${podName}" is waiting to start: ${waitingReason(pod, name)}`);

    const gone = new AbortController();
    res.once("close", () => gone.abort());
    const ended = this.#whenEnded(status, gone.signal);
    res.writeHead(200, { "content-type": "text/plain" });
    res.flushHeaders();
    const text = readLog(status.logPath, options, ended, gone.signal);
    await pipeline(Readable.from(text, { objectMode: false }), res).catch(() => undefined);
  }

  /** When nothing more will be written. */
  #whenEnded(status: ContainerStatus, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const subscription = this.#options.runtime.onContainerEvent((event) => {
        if (event.containerId === status.id && event.type === "stopped") done();
      });
      const done = (): void => {
        subscription.close();
        resolve();
      };
      signal.addEventListener("abort", done, { once: true });
      // It may have ended before anyone listened.
      void this.#options.runtime
        .containerStatus(status.id)
        .then(({ state }) => state !== "running" && done())
        .catch(done);
    });
  }

  async #upgrade(req: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on("error", () => {});
    try {
      this.#authenticate(req);
      const url = new URL(req.url ?? "/", "http://kubelet");
      const [, root, namespace = "", podName = "", ...rest] = url.pathname.split("/").map(decodeURIComponent);
      if (root === "portForward")
        return await this.#portForward({ req, socket, head }, url.searchParams, this.#findPod(namespace, podName));
      if (root !== "exec" && root !== "attach") throw new HttpError(404, "404 page not found");
      const pod = this.#findPod(namespace, podName);
      // A uid may stand before the container's name.
      const [status] = await this.#instances(pod, rest.at(-1) ?? "");
      if (status?.state !== "running") throw new HttpError(500, `container not found ("${rest.at(-1) ?? ""}")`);
      const request = streamRequest(url.searchParams);
      const remote = await accept({ req, socket, head }, request);
      const command = url.searchParams.getAll("command");
      const { runtime } = this.#options;
      const { stdin, tty } = request;
      const open = (): Promise<ExecSession> =>
        root === "exec" ? runtime.exec(status.id, { command, stdin, tty }) : attach(runtime, status.id, { stdin, tty });
      await serveSession(open, remote, request, root === "exec" ? "error executing command in container" : "error attaching to container");
    } catch (err) {
      this.#options.logger.debug("a stream failed", { url: req.url, err: errorMessage(err) });
      refuse(socket, statusOf(err), errorMessage(err));
    }
  }

  async #portForward(upgrade: Upgrade, query: URLSearchParams, { metadata: { name, uid } }: StoredPod): Promise<void> {
    const { runtime } = this.#options;
    const [sandbox] = await runtime.listPodSandbox({ podUid: uid, state: "ready" });
    if (sandbox === undefined) throw new HttpError(500, `pod "${name}" is not running`);
    const { choosePortForward, PORT_FORWARD_SUPPORTED, servePortForward } = await import("./port-forward/index.ts");
    const { kind, protocols } = offerOf(upgrade.req);
    const protocol = choosePortForward(kind, protocols);
    if (protocol === undefined) throw unsupported(protocols, PORT_FORWARD_SUPPORTED[kind]);
    const target = { pod: name, uid, connect: (port: number): Promise<Duplex> => runtime.portForward(sandbox.id, port) };
    await servePortForward(upgrade, protocol, portsOf(query), target);
  }
}

/** The API's name and the kubelet's, each of them several times, or one with commas. */
function portsOf(query: URLSearchParams): number[] {
  const texts = [...query.getAll("ports"), ...query.getAll("port")].flatMap((text) => text.split(","));
  return texts.filter((text) => text !== "").map(Number);
}

/** What the client would speak: `kind` and, in its order, the protocols above it. */
function offerOf(req: IncomingMessage): { kind: "websocket" | "spdy"; protocols: readonly string[] } {
  const upgrade = (req.headers.upgrade ?? "").toLowerCase();
  if (upgrade !== "websocket" && upgrade !== "spdy/3.1")
    throw new HttpError(400, `unable to upgrade to "${upgrade}"; upgrade to websocket or SPDY/3.1`);
  const kind = upgrade === "websocket" ? "websocket" : "spdy";
  const header = kind === "websocket" ? req.headers["sec-websocket-protocol"] : req.headers["x-stream-protocol-version"];
  return {
    kind,
    protocols: String(header ?? "")
      .split(",")
      .map((word) => word.trim()),
  };
}

/** How a container ended is in its status; attaching to it went well all the same. */
async function attach(runtime: RuntimeService, containerId: string, request: AttachRequest): Promise<ExecSession> {
  const session = await runtime.attach(containerId, request);
  return { ...session, exit: session.exit.then(() => 0) };
}

/** WebSocket or SPDY. Both come in only when somebody asks: most nodes never load them. */
async function accept(upgrade: Upgrade, request: StreamRequest): Promise<RemoteStreams> {
  const { kind, protocols } = offerOf(upgrade.req);
  if (kind === "websocket") {
    const { acceptWebSocket, WEBSOCKET_PROTOCOLS } = await import("./websocket.ts");
    if (!protocols.some((word) => WEBSOCKET_PROTOCOLS.includes(word))) throw unsupported(protocols, WEBSOCKET_PROTOCOLS.join(", "));
    return acceptWebSocket(upgrade, request);
  }
  const { acceptSpdy, EXEC_PROTOCOL } = await import("./spdy/streams.ts");
  if (!protocols.includes(EXEC_PROTOCOL)) throw unsupported(protocols, EXEC_PROTOCOL);
  return acceptSpdy(upgrade, request);
}

function unsupported(offered: readonly string[], supported: string): HttpError {
  return new HttpError(403, `unable to upgrade: client supports [${offered.join(", ")}], server supports [${supported}]`);
}

function statusOf(err: unknown): number {
  if (err instanceof HttpError) return err.status;
  if (err instanceof InputError) return 400;
  return errorCode(err) === "NotFound" ? 404 : 500;
}

function refuse(socket: Duplex, status: number, message: string): void {
  if (socket.destroyed) return;
  const body = Buffer.from(message);
  socket.end(
    Buffer.concat([
      Buffer.from(`HTTP/1.1 ${status} Error\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: ${body.length}\r\n\r\n`),
      body,
    ]),
  );
}

function sendText(res: ServerResponse, status: number, text: string): void {
  res.writeHead(status, { "content-type": "text/plain; charset=utf-8" });
  res.end(text);
}

function sendJson(res: ServerResponse, value: unknown): void {
  res.writeHead(200, { "content-type": "application/json" });
  res.end(JSON.stringify(value));
}

function waitingReason(pod: StoredPod, name: string): string {
  return containerStatusesOf(pod).find((status) => status.name === name)?.state?.waiting?.reason ?? "ContainerCreating";
}

/** The API's names, and those that the API server uses towards a kubelet (`pkg/kubelet/server/remotecommand`). */
export function streamRequest(query: URLSearchParams): StreamRequest {
  const isSet = (...names: string[]): boolean => names.some((name) => query.get(name) === "1" || query.get(name) === "true");
  const tty = isSet("tty");
  const request = { stdin: isSet("input", "stdin"), stdout: isSet("output", "stdout"), stderr: isSet("error", "stderr") && !tty, tty };
  if (!request.stdin && !request.stdout && !request.stderr)
    throw new HttpError(400, "you must specify at least one of stdin, stdout, stderr");
  return request;
}

/** `v1.PodLogOptions` from a query; limits are those of its validation. */
export function logOptions(query: URLSearchParams): LogOptions {
  const number = (name: string, least: number): number | undefined => {
    const text = query.get(name);
    if (text === null || text === "") return undefined;
    if (!/^\d+$/.test(text) || Number(text) < least) throw new HttpError(400, `${name}: "${text}" is not a number of at least ${least}`);
    return Number(text);
  };
  const sinceSeconds = number("sinceSeconds", 1);
  const sinceTime = query.get("sinceTime");
  const sinceMs = sinceTime === null || sinceTime === "" ? undefined : Date.parse(sinceTime);
  if (Number.isNaN(sinceMs)) throw new HttpError(400, `sinceTime: "${sinceTime}" is not a time such as 2026-01-01T00:00:00Z`);
  return {
    follow: query.get("follow") === "true",
    timestamps: query.get("timestamps") === "true",
    tailLines: number("tailLines", 0) ?? -1,
    sinceMs: sinceSeconds === undefined ? sinceMs : Date.now() - sinceSeconds * 1000,
    limitBytes: number("limitBytes", 1) ?? -1,
  };
}
