// One forwarded connection: a client's data and errors here, a port of the pod there, whatever carries them.
import type { Duplex, Writable } from "node:stream";
import { finished } from "node:stream/promises";
import { errorMessage } from "#base";

/** The pod whose ports are asked for. */
export interface PortTarget {
  readonly pod: string;
  readonly uid: string;
  /** Rejects when nothing listens there. */
  connect(port: number): Promise<Duplex>;
}

export interface PortStreams {
  readonly data: Duplex;
  /** Gets a message when there is no connection; ended without one otherwise. */
  readonly error: Writable;
}

/** Resolves when the connection has ended on either side. Never rejects. */
export async function forwardPort(target: PortTarget, port: number, { data, error }: PortStreams): Promise<void> {
  let connection: Duplex;
  try {
    if (!Number.isInteger(port) || port < 1 || port > 65_535) throw new RangeError(`"${port}" is not a port`);
    connection = await target.connect(port);
  } catch (err) {
    // The words are the kubelet's (`pkg/kubelet/cri/streaming/portforward`).
    error.end(`error forwarding port ${port} to pod ${target.pod}, uid ${target.uid}: ${errorMessage(err)}`);
    data.end();
    return;
  }
  const end = (): void => void connection.destroy();
  data.once("close", end);
  if (data.destroyed) end();
  data.pipe(connection);
  connection.pipe(data);
  // A connection that is reset was a connection: clients end everything else too when they are told of an error.
  await finished(connection).catch(() => undefined);
  data.off("close", end);
  data.end();
  error.end();
}
