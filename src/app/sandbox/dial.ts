// TCP connections that begin in a namespace of the sandbox.
import { Socket } from "node:net";
import { parseAddr } from "#ip";
import { connectSocketFd, type NetNs } from "#linux";

export function createDialer(ns: NetNs): (host: string, port: number) => Promise<Socket> {
  return (host, port) =>
    new Promise((resolve, reject) => {
      const fd = connectSocketFd(ns, parseAddr(host, "host").family);
      const socket = new Socket({ fd, allowHalfOpen: true });
      socket.once("error", reject);
      socket.connect({ host, port }, () => {
        socket.off("error", reject);
        resolve(socket);
      });
    });
}
