// TCP connections and UDP sockets that begin in a namespace of the sandbox.
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import type { Socket } from "node:net";
import { parseAddr } from "#ip";
import { connectSocket, type NetNs, udpFd } from "#linux";

export function createDialer(ns: NetNs): (host: string, port: number) => Promise<Socket> {
  return (host, port) =>
    new Promise((resolve, reject) => {
      const socket = connectSocket(ns, { addr: parseAddr(host, "host"), port }, { allowHalfOpen: true });
      socket.once("error", reject).once("connect", () => {
        socket.off("error", reject);
        resolve(socket);
      });
    });
}

/** UDP sockets that speak to one address from a namespace of the sandbox. */
export function createUdpDialer(ns: NetNs): (host: string, port: number) => Promise<UdpSocket> {
  return (host, port) => {
    const { family } = parseAddr(host, "host");
    const socket = createSocket(family === 4 ? "udp4" : "udp6");
    socket.bind({ fd: udpFd(ns, parseAddr(family === 4 ? "0.0.0.0" : "::"), 0) });
    return new Promise((resolve, reject) => {
      socket.connect(port, host, (err?: Error) => {
        if (err === undefined) return resolve(socket);
        socket.close();
        reject(err);
      });
    });
  };
}
