// A connection to a port of a pod from inside, as programs of the pod would make it: also to what listens on the loopback only.
import type { Socket } from "node:net";
import { errorMessage } from "#base";
import { type Addr, parseAddr } from "#ip";
import { connectSocket, type NetNs } from "#linux";
import { RuntimeError } from "./errors.ts";

/** In this order, as containerd does (`internal/cri/server/sandbox_portforward_linux.go`): most programs listen on IPv4 at least. */
const LOCALHOST: readonly Addr[] = [parseAddr("127.0.0.1", "localhost"), parseAddr("::1", "localhost")];

/** Rejects with a RuntimeError "PortForwardError" when nothing listens on either. */
export async function connectLocalhost(ns: NetNs, port: number): Promise<Socket> {
  const problems: string[] = [];
  for (const addr of LOCALHOST) {
    try {
      return await connected(connectSocket(ns, { addr, port }, { allowHalfOpen: true }));
    } catch (err) {
      problems.push(errorMessage(err));
    }
  }
  throw new RuntimeError("PortForwardError", `failed to connect to localhost:${port} inside the pod: ${problems.join(", ")}`);
}

function connected(socket: Socket): Promise<Socket> {
  return new Promise((resolve, reject) => {
    socket.once("error", reject).once("connect", () => {
      socket.off("error", reject);
      resolve(socket);
    });
  });
}
