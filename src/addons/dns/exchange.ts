// One question to one upstream, over UDP or TCP. Forged answers are kept out by a random id, a random port that changes, a connected
// socket, and the question, which must come back (RFC 5452).
import { randomInt } from "node:crypto";
import { createSocket, type Socket } from "node:dgram";
import { connect, isIPv6 } from "node:net";
import { FairleadError } from "#base";
import { decodeDnsName } from "#wire";
import { lowerName } from "./names.ts";
import { HEADER_BYTES } from "./query.ts";

export interface Upstream {
  readonly host: string;
  readonly port: number;
}

/** A port is used for so many queries, then another. */
const QUERIES_PER_SOCKET = 256;

interface Pending {
  readonly query: Buffer;
  readonly resolve: (reply: Buffer) => void;
  readonly reject: (err: unknown) => void;
  readonly timer: NodeJS.Timeout;
}

export function formatUpstream({ host, port }: Upstream): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

export function noAnswer(upstream: Upstream, why: string, code: string): FairleadError {
  const to = formatUpstream(upstream);
  return new FairleadError(`Cannot ask the upstream name server ${to}: ${why}`, { code, op: "ask upstream", facts: { upstream: to } });
}

/** Whether `reply` is one to `query`, whose id it has. */
function isReplyTo(query: Buffer, reply: Buffer): boolean {
  if (reply.length < HEADER_BYTES || ((reply[2] ?? 0) & 0x80) === 0 || reply.readUInt16BE(0) !== query.readUInt16BE(0)) return false;
  const end = decodeDnsName(query, HEADER_BYTES).end + 4;
  // A server that could not read the question says so without it.
  if (reply.readUInt16BE(4) === 0) return ((reply[3] ?? 0) & 0x0f) !== 0;
  return (
    reply.length >= end &&
    nameText(reply, end - 4) === nameText(query, end - 4) &&
    reply.readUInt32BE(end - 4) === query.readUInt32BE(end - 4)
  );
}

function nameText(bytes: Buffer, end: number): string {
  return lowerName(bytes.toString("latin1", HEADER_BYTES, end));
}

function withId(query: Buffer, id: number): Buffer {
  const copy = Buffer.from(query);
  copy.writeUInt16BE(id, 0);
  return copy;
}

/** Over UDP: one socket at a time, shared by the queries that wait. */
export class UdpExchange {
  readonly #upstream: Upstream;
  readonly #ports = new Set<ClientPort>();
  #current: ClientPort | undefined;

  constructor(upstream: Upstream) {
    this.#upstream = upstream;
  }

  /** Rejects with a FairleadError when nothing came within `timeoutMs`, or at once when nobody listens there. */
  ask(query: Buffer, timeoutMs: number): Promise<Buffer> {
    if (this.#current?.isOpen() !== true) {
      const port = new ClientPort(this.#upstream, () => this.#ports.delete(port));
      this.#ports.add(port);
      this.#current = port;
    }
    return this.#current.ask(query, timeoutMs);
  }

  /** Rejects all that wait. */
  fail(err: unknown): void {
    for (const port of this.#ports) port.fail(err);
    this.#current = undefined;
  }

  close(): void {
    this.fail(noAnswer(this.#upstream, "the server is stopping", "Stopped"));
  }
}

class ClientPort {
  readonly #upstream: Upstream;
  readonly #socket: Socket;
  readonly #pending = new Map<number, Pending>();
  readonly #onClose: () => void;
  readonly #connected: Promise<void>;
  #uses = 0;
  #closed = false;

  constructor(upstream: Upstream, onClose: () => void) {
    this.#upstream = upstream;
    this.#onClose = onClose;
    this.#socket = createSocket(isIPv6(upstream.host) ? "udp6" : "udp4");
    this.#socket.on("message", (reply) => this.#take(reply));
    this.#socket.on("error", (err) => this.fail(noAnswer(upstream, err.message, "Unreachable")));
    this.#connected = new Promise((resolve) => {
      this.#socket.connect(upstream.port, upstream.host, (err?: Error) => {
        if (err === undefined) resolve();
        else this.fail(noAnswer(upstream, err.message, "Unreachable"));
      });
    });
  }

  isOpen(): boolean {
    return !this.#closed && this.#uses < QUERIES_PER_SOCKET;
  }

  ask(query: Buffer, timeoutMs: number): Promise<Buffer> {
    this.#uses++;
    let id = randomInt(0x10000);
    while (this.#pending.has(id)) id = randomInt(0x10000);
    const sent = withId(query, id);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => this.#end(id)?.reject(noAnswer(this.#upstream, `no answer within ${timeoutMs} ms`, "Timeout")),
        timeoutMs,
      );
      this.#pending.set(id, { query: sent, resolve, reject, timer });
      void this.#connected.then(() => {
        if (!this.#closed) this.#socket.send(sent);
      });
    });
  }

  fail(err: unknown): void {
    for (const id of this.#pending.keys()) this.#end(id)?.reject(err);
    this.#close();
  }

  #take(reply: Buffer): void {
    if (reply.length < HEADER_BYTES) return;
    const id = reply.readUInt16BE(0);
    const pending = this.#pending.get(id);
    // What does not fit is forged or late: the right answer may still come.
    if (pending === undefined || !isReplyTo(pending.query, reply)) return;
    this.#end(id)?.resolve(reply);
  }

  #end(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    if (pending === undefined) return undefined;
    this.#pending.delete(id);
    clearTimeout(pending.timer);
    if (this.#pending.size === 0 && !this.isOpen()) this.#close();
    return pending;
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.close();
    this.#onClose();
  }
}

/** Over TCP: a connection per question (RFC 7766). */
export function askTcp(upstream: Upstream, query: Buffer, timeoutMs: number): Promise<Buffer> {
  const sent = withId(query, randomInt(0x10000));
  return new Promise((resolve, reject) => {
    const socket = connect({ host: upstream.host, port: upstream.port, noDelay: true });
    const timer = setTimeout(() => finish(noAnswer(upstream, `no answer over TCP within ${timeoutMs} ms`, "Timeout")), timeoutMs);
    let received: Buffer = Buffer.alloc(0);
    const finish = (result: Buffer | Error): void => {
      clearTimeout(timer);
      socket.destroy();
      if (result instanceof Error) reject(result);
      else resolve(result);
    };
    socket.on("error", (err) => finish(noAnswer(upstream, err.message, "Unreachable")));
    socket.on("close", () => finish(noAnswer(upstream, "the connection was closed before the answer", "Unreachable")));
    socket.on("data", (chunk) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
      const reply = received.subarray(2, 2 + received.readUInt16BE(0));
      finish(isReplyTo(sent, reply) ? reply : noAnswer(upstream, "the answer is to another question", "BadAnswer"));
    });
    const length = Buffer.alloc(2);
    length.writeUInt16BE(sent.length);
    socket.write(Buffer.concat([length, sent]));
  });
}
