import { createSocket, type Socket } from "node:dgram";
import { errorCode } from "#base";
import { fatal, formatPeer } from "./output.ts";

/** What to answer to one datagram; undefined for no answer. */
type Answer = (message: Buffer, peer: string) => string | undefined;

/**
 * Serves UDP on every address, or on `address`: one dual-stack socket, or IPv4 alone where the machine has no IPv6. `ready` is
 * called once it is bound.
 */
export function serveUdp(port: number, answer: Answer, ready: () => void, address?: string): void {
  const local = address ?? "::";
  const socket = createSocket(local.includes(":") ? "udp6" : "udp4");
  socket.on("message", (message, peer) => {
    const text = answer(message, formatPeer(peer.address, peer.port));
    if (text !== undefined) socket.send(text, peer.port, peer.address);
  });
  socket.on("error", (err) => {
    const withoutIpv6 = errorCode(err) === "EAFNOSUPPORT" || errorCode(err) === "EINVAL";
    if (withoutIpv6 && address === undefined) return restart(socket, () => serveUdp(port, answer, ready, "0.0.0.0"));
    fatal(`Error occurred: failed to create listener for UDP address ${local}:${port}: ${err.message}`);
  });
  socket.bind({ port, address: local, exclusive: true }, ready);
}

function restart(socket: Socket, again: () => void): void {
  socket.removeAllListeners("error");
  socket.on("error", () => {});
  socket.close();
  again();
}
