// UDP clients of one published port: each has a stream of its own into the sandbox, so that answers find their way back, for as long as
// anything is said.
import type { RemoteInfo, Socket as UdpSocket } from "node:dgram";
import type { Socket } from "node:net";
import { errorMessage, type Logger } from "#base";
import { readDatagrams, writeDatagram } from "#sandbox";

export interface UdpSessionsOptions {
  /** Opens the stream for a new client. */
  readonly dial: () => Promise<Socket>;
  readonly logger: Logger;
  /** After so long without a datagram in either direction a client is forgotten; 120 s unless told, as conntrack has it for a stream. */
  readonly idleMs?: number;
  /** More clients than this at a time: the one that was silent longest is forgotten. */
  readonly maxSessions?: number;
}

const IDLE_MS = 120_000;
const MAX_SESSIONS = 1024;
/** What a client may send before its stream stands. */
const MAX_EARLY = 64;

interface Session {
  stream: Socket | undefined;
  early: Buffer[];
  readonly timer: NodeJS.Timeout;
  end(): void;
}

/** Serves the clients of `socket` until it is closed. */
export function serveUdpSessions(socket: UdpSocket, options: UdpSessionsOptions): void {
  // In the order in which they were last heard.
  const sessions = new Map<string, Session>();
  socket.on("message", (datagram, from) => {
    const key = `${from.address} ${from.port}`;
    const session = sessions.get(key) ?? begin(socket, from, options, () => sessions.delete(key));
    sessions.delete(key);
    sessions.set(key, session);
    session.timer.refresh();
    if (session.stream !== undefined) writeDatagram(session.stream, datagram);
    else if (session.early.length < MAX_EARLY) session.early.push(datagram);
    const [oldest] = sessions.values();
    if (sessions.size > (options.maxSessions ?? MAX_SESSIONS)) oldest?.end();
  });
  socket.once("close", () => {
    for (const session of sessions.values()) session.end();
  });
}

function begin(socket: UdpSocket, { address, port }: RemoteInfo, options: UdpSessionsOptions, onEnd: () => void): Session {
  let ended = false;
  const session: Session = {
    stream: undefined,
    early: [],
    timer: setTimeout(() => session.end(), options.idleMs ?? IDLE_MS),
    end() {
      if (ended) return;
      ended = true;
      clearTimeout(session.timer);
      session.stream?.destroy();
      onEnd();
    },
  };
  options
    .dial()
    .then((stream) => {
      if (ended) return void stream.destroy();
      session.stream = stream;
      stream.on("error", () => {}).once("close", () => session.end());
      readDatagrams(stream, (datagram) => {
        session.timer.refresh();
        if (!ended) socket.send(datagram, port, address, () => {});
      });
      for (const datagram of session.early) writeDatagram(stream, datagram);
      session.early = [];
    })
    .catch((err: unknown) => {
      options.logger.debug("cannot reach a UDP NodePort", { err: errorMessage(err) });
      session.end();
    });
  return session;
}
