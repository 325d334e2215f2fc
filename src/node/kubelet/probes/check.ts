// One probe of one container: asks, and says whether the answer is good. Runs in the node's network namespace.
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { connect } from "node:net";
import type { Container, ExecAction, HTTPGetAction, Probe, TCPSocketAction } from "kubernetes-types/core/v1";
import { errorCode, errorMessage } from "#base";
import type { RuntimeService } from "#runtime";

export interface CheckResult {
  readonly ok: boolean;
  /** What went wrong, in the words of the kubelet's events. */
  readonly message: string;
}

export interface ProbeTarget {
  readonly container: Container;
  readonly containerId: string;
  readonly podIp: string;
  readonly runtime: Pick<RuntimeService, "execSync">;
}

/** What an action needs of a `Probe` or of a lifecycle handler. */
export type Action = Pick<Probe, "exec" | "httpGet" | "tcpSocket">;

const OK: CheckResult = { ok: true, message: "" };

export async function check(action: Action, target: ProbeTarget, timeoutSeconds: number): Promise<CheckResult> {
  try {
    if (action.exec !== undefined) return await checkExec(action.exec, target, timeoutSeconds);
    if (action.httpGet !== undefined) return await checkHttp(action.httpGet, target, timeoutSeconds * 1000);
    if (action.tcpSocket !== undefined) return await checkTcp(action.tcpSocket, target, timeoutSeconds * 1000);
    return { ok: false, message: "probes of this kind are not supported; use exec, httpGet or tcpSocket" };
  } catch (err) {
    return { ok: false, message: errorMessage(err) };
  }
}

async function checkExec({ command = [] }: ExecAction, target: ProbeTarget, timeoutSeconds: number): Promise<CheckResult> {
  const { exitCode, stdout, stderr } = await target.runtime.execSync(target.containerId, command, timeoutSeconds);
  return exitCode === 0 ? OK : { ok: false, message: `${stdout.toString()}${stderr.toString()}`.trim() };
}

/** A number, or the name of one of the container's ports. */
function portOf(port: string | number, container: Container): number {
  if (typeof port === "number") return port;
  const named = container.ports?.find(({ name }) => name === port)?.containerPort;
  const number = named ?? Number(port);
  if (!Number.isInteger(number)) throw new Error(`couldn't find port: "${port}" in container ${container.name}`);
  return number;
}

function joinHostPort(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

const USER_AGENT = "kube-probe/1.33";
const BODY_BYTES = 10 * 1024;

function checkHttp(action: HTTPGetAction, target: ProbeTarget, timeoutMs: number): Promise<CheckResult> {
  const host = action.host === undefined || action.host === "" ? target.podIp : action.host;
  const port = portOf(action.port, target.container);
  const path = `/${(action.path ?? "/").replace(/^\//, "")}`;
  const isTls = action.scheme === "HTTPS";
  const url = `${isTls ? "https" : "http"}://${joinHostPort(host, port)}${path}`;
  const headers: Record<string, string> = { "user-agent": USER_AGENT, accept: "*/*", connection: "close", host: joinHostPort(host, port) };
  for (const { name, value } of action.httpHeaders ?? []) headers[name.toLowerCase()] = value;
  return new Promise((resolve) => {
    const options = { host, port, path, headers, agent: false, rejectUnauthorized: false, signal: AbortSignal.timeout(timeoutMs) };
    const req = (isTls ? httpsRequest : httpRequest)(options, (res) => {
      const code = res.statusCode ?? 0;
      let size = 0;
      res.on("data", (chunk: Buffer) => {
        size += chunk.length;
        if (size > BODY_BYTES) res.destroy();
      });
      res.on("error", () => {});
      res.on("close", () => resolve(code >= 200 && code < 400 ? OK : { ok: false, message: `HTTP probe failed with statuscode: ${code}` }));
    });
    req.on("error", (err) => resolve({ ok: false, message: `Get "${url}": ${explain(err, joinHostPort(host, port))}` }));
    req.end();
  });
}

function explain(err: Error, peer: string): string {
  if (err.name === "AbortError" || err.name === "TimeoutError") {
    return "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
  }
  return errorCode(err) === "ECONNREFUSED" ? `dial tcp ${peer}: connect: connection refused` : err.message;
}

function checkTcp(action: TCPSocketAction, target: ProbeTarget, timeoutMs: number): Promise<CheckResult> {
  const host = action.host === undefined || action.host === "" ? target.podIp : action.host;
  const port = portOf(action.port, target.container);
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const done = (result: CheckResult): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(result);
    };
    const timer = setTimeout(() => done({ ok: false, message: `dial tcp ${joinHostPort(host, port)}: i/o timeout` }), timeoutMs);
    socket.once("connect", () => done(OK));
    socket.once("error", (err) => done({ ok: false, message: explain(err, joinHostPort(host, port)) }));
  });
}
