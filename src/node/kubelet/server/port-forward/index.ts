// The ways in which clients ask for ports of a pod: SPDY (kubectl up to 1.30), SPDY inside a WebSocket (kubectl from 1.31 on), or
// channels of a WebSocket (client libraries).
import { createWebSocketStream, type WebSocket, WebSocketServer } from "ws";
import type { Upgrade } from "../websocket.ts";
import { CHANNEL_PROTOCOL, forwardPortsOverChannels } from "./channels.ts";
import type { PortTarget } from "./forward.ts";
import { forwardPortsOverSpdy, PORT_FORWARD_PROTOCOL } from "./spdy.ts";

/** apimachinery `portforward.WebsocketsSPDYTunnelingPortForwardV1`. */
const TUNNEL_PROTOCOL = `SPDY/3.1+${PORT_FORWARD_PROTOCOL}`;

/** The best first. */
const WEBSOCKET_PROTOCOLS: readonly string[] = [TUNNEL_PROTOCOL, CHANNEL_PROTOCOL];

/** What of the offered protocols can be spoken; undefined for none. */
export function choosePortForward(kind: "websocket" | "spdy", offered: readonly string[]): string | undefined {
  return (kind === "websocket" ? WEBSOCKET_PROTOCOLS : [PORT_FORWARD_PROTOCOL]).find((protocol) => offered.includes(protocol));
}

export const PORT_FORWARD_SUPPORTED: Readonly<Record<"websocket" | "spdy", string>> = {
  websocket: WEBSOCKET_PROTOCOLS.join(", "),
  spdy: PORT_FORWARD_PROTOCOL,
};

/** Answers the request, and resolves when the client has gone. `ports`: of the query, for channels. */
export async function servePortForward(upgrade: Upgrade, protocol: string, ports: readonly number[], target: PortTarget): Promise<void> {
  const { socket, head } = upgrade;
  if (protocol === PORT_FORWARD_PROTOCOL) {
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: ${protocol}\r\n\r\n`,
    );
    return forwardPortsOverSpdy(socket, head, target);
  }
  const client = await handshake(upgrade, protocol);
  if (protocol === CHANNEL_PROTOCOL) return forwardPortsOverChannels(client, ports, target);
  return forwardPortsOverSpdy(createWebSocketStream(client), Buffer.alloc(0), target);
}

function handshake({ req, socket, head }: Upgrade, protocol: string): Promise<WebSocket> {
  // A name with a slash is no token (RFC 6455 §4.1), and would be refused; what is offered has been looked at already.
  req.headers["sec-websocket-protocol"] = "chosen";
  const server = new WebSocketServer({ noServer: true, perMessageDeflate: false, handleProtocols: () => protocol });
  return new Promise((resolve) => server.handleUpgrade(req, socket, head, resolve));
}
