// TCP connections that begin in a namespace of the sandbox.
import type { Socket } from "node:net";
import { parseAddr } from "#ip";
import { connectSocket, type NetNs } from "#linux";

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
