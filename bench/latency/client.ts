// Asks two targets in turn, so that what else the machine does hits both: `client.ts JSON` prints what each cost, in microseconds.
import { parseAddr } from "#ip";
import { close, connect, endSending, openSocket, receive, SOCK_DGRAM, SOCK_STREAM, send } from "./blocking.ts";

export interface ClientInput {
  /** Addresses; every one has the same three servers behind it. */
  readonly targets: readonly string[];
  readonly ports: { readonly echo: number; readonly request: number; readonly sink: number };
  readonly questions: number;
  readonly bulkRounds: number;
  readonly bulkBytes: number;
}

/** By target, one value per question. */
export interface ClientOutput {
  /** From the first packet of a UDP flow to its answer. */
  readonly firstPacketUs: readonly number[][];
  /** A TCP connection, one byte there, one byte back, closed. */
  readonly requestUs: readonly number[][];
  /** Bulk, Gbit/s. */
  readonly gbits: readonly number[][];
}

const input = JSON.parse(process.argv[2] ?? "{}") as ClientInput;
const buffer = Buffer.alloc(64);
const large = Buffer.alloc(256 * 1024);
const question = Uint8Array.of(63);

function firstPacket(target: string): number {
  const fd = openSocket(SOCK_DGRAM);
  connect(fd, { addr: parseAddr(target), port: input.ports.echo });
  const begin = process.hrtime.bigint();
  send(fd, question);
  receive(fd, buffer);
  const took = Number(process.hrtime.bigint() - begin) / 1000;
  close(fd);
  return took;
}

function request(target: string): number {
  const begin = process.hrtime.bigint();
  const fd = openSocket(SOCK_STREAM);
  connect(fd, { addr: parseAddr(target), port: input.ports.request });
  send(fd, question);
  receive(fd, buffer);
  close(fd);
  return Number(process.hrtime.bigint() - begin) / 1000;
}

function bulk(target: string): number {
  const fd = openSocket(SOCK_STREAM);
  connect(fd, { addr: parseAddr(target), port: input.ports.sink });
  const begin = process.hrtime.bigint();
  for (let sent = 0; sent < input.bulkBytes; sent += large.byteLength) send(fd, large);
  endSending(fd);
  // The server closes when it has read everything.
  receive(fd, buffer);
  const seconds = Number(process.hrtime.bigint() - begin) / 1e9;
  close(fd);
  return (input.bulkBytes * 8) / seconds / 1e9;
}

function inTurn(rounds: number, ask: (target: string) => number): number[][] {
  const results: number[][] = input.targets.map(() => []);
  for (let i = 0; i < rounds; i++) {
    // Who is first changes: the second one finds warmer caches.
    const order = input.targets.map((_, at) => (at + i) % input.targets.length);
    for (const at of order) results[at]?.push(ask(input.targets[at] ?? ""));
  }
  return results;
}

// The compiler gets to see the code first.
inTurn(200, firstPacket);
inTurn(200, request);
const output: ClientOutput = {
  firstPacketUs: inTurn(input.questions, firstPacket),
  requestUs: inTurn(input.questions, request),
  gbits: inTurn(input.bulkRounds, bulk),
};
console.log(JSON.stringify(output));
