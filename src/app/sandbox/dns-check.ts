// One DNS query over TCP (RFC 1035 §4.2.2): enough to know that a Service name resolves.
import { randomInt } from "node:crypto";
import type { Socket } from "node:net";
import { FairleadError } from "#base";
import { DNS_CLASS_IN, DNS_RCODE, DNS_TYPE, decodeDns, dnsMessage, encodeDns } from "#wire";

const TIMEOUT_MS = 2_000;

/** True when `server` answers for `name` with at least one record of the server's own address family. */
export async function resolveOverTcp(
  dial: (host: string, port: number) => Promise<Socket>,
  server: string,
  name: string,
): Promise<boolean> {
  const socket = await dial(server, 53);
  const type = server.includes(":") ? DNS_TYPE.AAAA : DNS_TYPE.A;
  const query = encodeDns(dnsMessage({ id: randomInt(0xffff), questions: [{ name, type, class: DNS_CLASS_IN }] }));
  const length = Buffer.alloc(2);
  length.writeUInt16BE(query.length);
  socket.write(Buffer.concat([length, query]));
  try {
    const answer = decodeDns(await readMessage(socket));
    return answer.rcode === DNS_RCODE.NOERROR && answer.answers.length > 0;
  } finally {
    socket.destroy();
  }
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
