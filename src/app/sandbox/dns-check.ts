// One DNS query over TCP (RFC 1035 §4.2.2): enough to know that a Service name resolves.
import type { Socket } from "node:net";
import { FairleadError } from "#base";

const TYPE_A = 1;
const TYPE_AAAA = 28;
const CLASS_IN = 1;
const TIMEOUT_MS = 2_000;

/** True when `server` answers for `name` with at least one record of the server's own address family. */
export async function resolveOverTcp(
  dial: (host: string, port: number) => Promise<Socket>,
  server: string,
  name: string,
): Promise<boolean> {
  const socket = await dial(server, 53);
  const query = encodeQuery(name, server.includes(":") ? TYPE_AAAA : TYPE_A);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(query.length);
  socket.write(Buffer.concat([length, query]));
  try {
    const answer = await readMessage(socket);
    const code = answer.readUInt8(3) & 0x0f;
    return code === 0 && answer.readUInt16BE(6) > 0;
  } finally {
    socket.destroy();
  }
}

function encodeQuery(name: string, type: number): Buffer {
  const labels = name.split(".").map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]));
  const header = Buffer.from([0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0]);
  return Buffer.concat([header, ...labels, Buffer.from([0, 0, type, 0, CLASS_IN])]);
}

function readMessage(socket: Socket): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let received = Buffer.alloc(0);
    socket.setTimeout(TIMEOUT_MS, () => reject(new FairleadError("the DNS server did not answer", { code: "ETIMEDOUT" })));
    socket.on("error", reject).on("end", () => reject(new FairleadError("the DNS server closed the connection", { code: "EPIPE" })));
    socket.on("data", (chunk) => {
      received = Buffer.concat([received, chunk]);
      if (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) resolve(received.subarray(2));
    });
  });
}
