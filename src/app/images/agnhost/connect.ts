// `agnhost connect HOST:PORT`: exit code 0 when the connection came about, otherwise 1 with one word on stderr that tests look for.
import { createSocket } from "node:dgram";
import { lookup } from "node:dns/promises";
import { connect as tcpConnect } from "node:net";
import { FlagError, parseDuration, parseFlags } from "./flags.ts";
import { splitHostPort } from "./output.ts";

interface Target {
  readonly addresses: readonly { readonly address: string; readonly family: number }[];
  readonly port: number;
}

export async function connect(args: readonly string[]): Promise<void> {
  const { values, args: rest } = parseFlags(args, { timeout: "0s", protocol: "tcp", "udp-data": "hostname", "sctp-data": "hostname" });
  const [dest] = rest;
  if (dest === undefined || rest.length !== 1) throw new FlagError(`accepts 1 arg(s), received ${rest.length}`);
  const timeoutMs = parseDuration(values.timeout);
  if (timeoutMs === undefined) throw new FlagError(`invalid argument "${values.timeout}" for "--timeout" flag: not a duration`);
  const target = await resolveTarget(dest);
  if (values.protocol === "tcp" || values.protocol === "") await connectTcp(target, timeoutMs);
  else if (values.protocol === "udp") await connectUdp(target, timeoutMs, values["udp-data"]);
  else if (values.protocol === "sctp") fail("OTHER: SCTP sockets are not available in this agnhost; use --protocol tcp or udp");
  else fail(`Unsupported protocol ${values.protocol}`);
  process.exit(0);
}

function fail(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

async function resolveTarget(dest: string): Promise<Target> {
  const parts = splitHostPort(dest);
  if ("error" in parts) fail(`UNKNOWN: ${parts.error}`);
  try {
    return { addresses: await lookup(parts.host === "" ? "localhost" : parts.host, { all: true }), port: parts.port };
  } catch (err) {
    fail(`DNS: lookup ${parts.host}: ${codeOf(err) === "ENOTFOUND" ? "no such host" : codeOf(err)}`);
  }
}

/** The errno of an error, or of the first of several attempts. */
function codeOf(err: unknown): string {
  if (err instanceof AggregateError) return codeOf(err.errors[0]);
  if (typeof err === "object" && err !== null && "code" in err && typeof err.code === "string") return err.code;
  return String(err);
}

async function connectTcp(target: Target, timeoutMs: number): Promise<void> {
  const deadline = timeoutMs > 0 ? performance.now() + timeoutMs : Number.POSITIVE_INFINITY;
  let last = "no address";
  for (const [i, { address }] of target.addresses.entries()) {
    const remaining = (deadline - performance.now()) / (target.addresses.length - i);
    last = await dialTcp(address, target.port, remaining);
    if (last === "") return;
  }
  if (last === "ETIMEDOUT") fail("TIMEOUT");
  if (last === "ECONNREFUSED") fail("REFUSED");
  fail(`OTHER: ${last}`);
}

/** "" when connected, else the errno. */
function dialTcp(host: string, port: number, timeoutMs: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = tcpConnect({ host, port });
    const done = (result: string): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(result);
    };
    const timer = Number.isFinite(timeoutMs) ? setTimeout(() => done("ETIMEDOUT"), Math.max(1, timeoutMs)) : undefined;
    socket.once("connect", () => done(""));
    socket.once("error", (err) => done(codeOf(err)));
  });
}

function connectUdp(target: Target, timeoutMs: number, data: string): Promise<void> {
  const first = target.addresses[0];
  if (first === undefined) fail("DNS: no address");
  return new Promise((resolve) => {
    // Connected, so that an ICMP "port unreachable" arrives as ECONNREFUSED.
    const socket = createSocket(first.family === 6 ? "udp6" : "udp4");
    socket.on("error", (err) => fail(codeOf(err) === "ECONNREFUSED" ? `REFUSED: ${err.message}` : `UNKNOWN: ${err.message}`));
    socket.on("message", (message) => {
      if (message.length === 0) fail("OTHER: No data received from the server. Cannot guarantee the server received the request.");
      resolve();
    });
    socket.connect(target.port, first.address, () => socket.send(`${data}\n`));
    if (timeoutMs > 0) setTimeout(() => fail("TIMEOUT: i/o timeout"), timeoutMs);
  });
}
