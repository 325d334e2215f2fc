// What is asked: `server.ts echo|request|sink ADDRESS PORT`, until it is killed. Prints READY once it listens.
import { parseAddr } from "#ip";
import { accept, close, echo, receive, SOCK_DGRAM, SOCK_STREAM, send, serve } from "./blocking.ts";

const [role, address = "", port] = process.argv.slice(2);
const at = { addr: parseAddr(address), port: Number(port) };
const fd = serve(role === "echo" ? SOCK_DGRAM : SOCK_STREAM, at);
process.stdout.write("READY\n");
const small = Buffer.alloc(64);
const large = Buffer.alloc(1 << 20);
const from = Buffer.alloc(16);
// stdout is written before the first call that blocks.
setImmediate(() => {
  for (;;) {
    if (role === "echo") echo(fd, small, from);
    else if (role === "request") answer(accept(fd));
    else drain(accept(fd));
  }
});

/** One byte for one byte; the server closes first, so that the client's ports are free at once. */
function answer(connection: number): void {
  if (receive(connection, small) > 0) send(connection, small.subarray(0, 1));
  close(connection);
}

function drain(connection: number): void {
  while (receive(connection, large) > 0);
  close(connection);
}
