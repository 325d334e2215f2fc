// `fairlead logs`: what a container wrote.
import { pipeline } from "node:stream/promises";
import { openLogs } from "#client/stream";
import { openClient } from "../api.ts";

export interface LogsOptions {
  readonly name: string;
  readonly namespace: string;
  readonly container?: string;
  readonly follow: boolean;
  readonly previous: boolean;
  readonly timestamps: boolean;
  readonly tail?: number;
}

export async function logs(pod: string, options: LogsOptions): Promise<void> {
  const client = openClient(options.name);
  const { namespace, container, follow, previous, timestamps, tail } = options;
  const stream = openLogs(
    client,
    { namespace, name: pod.replace(/^pods?\//, "") },
    { container, follow, previous, timestamps, tailLines: tail },
  );
  await pipeline(stream, process.stdout, { end: false });
  client.close();
}
