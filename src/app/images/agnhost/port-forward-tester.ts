// `agnhost port-forward-tester`: takes one connection, checks what arrives, sends chunks. All by environment variables.
import { createServer, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

function say(message: string): void {
  process.stdout.write(`${message}\n`);
}

function exitWith(code: number, message: string): never {
  say(message);
  process.exit(code);
}

function envNumber(name: string): number {
  const text = process.env[name] ?? "";
  return /^\d+$/.test(text) ? Number(text) : exitWith(1, `Error parsing ${name} ${JSON.stringify(text)}: not a number`);
}

export function portForwardTester(): void {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    server.close();
    converse(socket).catch((err: unknown) => exitWith(1, `Error: ${String(err)}`));
  });
  server.on("error", (err) => exitWith(1, `Error listening: ${err.message}`));
  server.listen(envNumber("BIND_PORT"), process.env["BIND_ADDRESS"] ?? "localhost");
}

/** How long the original waits between half-closing and closing, so that its last data is read before a reset. */
const LINGER_MS = 500;

async function converse(socket: Socket): Promise<void> {
  say("Accepted client connection");
  const expected = process.env["EXPECTED_CLIENT_DATA"] ?? "";
  if (expected !== "") {
    const got = await readBytes(socket, Buffer.byteLength(expected));
    if (got.length !== Buffer.byteLength(expected)) {
      exitWith(2, `Expected to read ${expected.length} bytes from client, but got ${got.length} instead.`);
    }
    if (got.toString() !== expected) exitWith(3, `Expect to read ${JSON.stringify(expected)}, but got ${JSON.stringify(got.toString())}.`);
    say("Received expected client data");
  }
  const chunks = envNumber("CHUNKS");
  const chunk = "x".repeat(envNumber("CHUNK_SIZE"));
  for (let i = 0; i < chunks; i++) {
    socket.write(chunk);
    if (i + 1 < chunks) await sleep(envNumber("CHUNK_INTERVAL"));
  }
  say("Shutting down connection");
  socket.end();
  await sleep(LINGER_MS);
  socket.destroy();
  say("Done");
}

async function readBytes(socket: Socket, count: number): Promise<Buffer> {
  let got = Buffer.alloc(0);
  while (got.length < count) {
    const chunk: unknown = socket.read(count - got.length) ?? socket.read();
    if (Buffer.isBuffer(chunk)) got = Buffer.concat([got, chunk]);
    else if (socket.readableEnded) break;
    else await new Promise<void>((resolve) => socket.once("readable", resolve).once("end", resolve));
  }
  return got;
}
