// UDP over a stream: each datagram with its length before it, so that its boundaries are kept.
import type { Socket as UdpSocket } from "node:dgram";
import type { Socket } from "node:net";

const LENGTH_BYTES = 2;
/** What may wait on a stream that is not read: more is lost, as it would be on a full link. */
const MAX_WAITING_BYTES = 1 << 20;

/** Loses the datagram when the stream takes no more. */
export function writeDatagram(stream: Socket, datagram: Buffer): void {
  if (stream.destroyed || stream.writableEnded || stream.writableLength > MAX_WAITING_BYTES) return;
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt16BE(datagram.length);
  stream.cork();
  stream.write(length);
  stream.write(datagram);
  stream.uncork();
}

/** Calls `onDatagram` for each that comes; what comes is read from then on. */
export function readDatagrams(stream: Socket, onDatagram: (datagram: Buffer) => void): void {
  let rest: Buffer = Buffer.alloc(0);
  stream.on("data", (chunk: Buffer) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    while (rest.length >= LENGTH_BYTES) {
      const end = LENGTH_BYTES + rest.readUInt16BE(0);
      if (rest.length < end) break;
      onDatagram(rest.subarray(LENGTH_BYTES, end));
      rest = rest.subarray(end);
    }
  });
}

/** Carries datagrams both ways until either side ends. What is refused on the way is lost, as UDP has it. */
export function joinDatagrams(stream: Socket, udp: UdpSocket): void {
  if (stream.destroyed) return void udp.close();
  let closed = false;
  readDatagrams(stream, (datagram) => {
    if (!closed) udp.send(datagram, () => {});
  });
  udp.on("message", (datagram) => writeDatagram(stream, datagram));
  udp.on("error", () => {});
  stream.once("end", () => stream.end());
  stream.once("close", () => {
    closed = true;
    udp.close();
  });
}
