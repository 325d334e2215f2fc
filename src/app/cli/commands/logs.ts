// `fairlead logs`: what a container wrote.
import { pipeline } from "node:stream/promises";
import { PODS, resourcePath } from "#kube";
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
  const query = new URLSearchParams();
  if (options.container !== undefined) query.set("container", options.container);
  for (const flag of ["follow", "previous", "timestamps"] as const) if (options[flag]) query.set(flag, "true");
  if (options.tail !== undefined) query.set("tailLines", String(options.tail));
  const name = pod.replace(/^pods?\//, "");
  const path = `${resourcePath(PODS, { namespace: options.namespace, name }, "log")}?${query}`;
  const stream = await client.stream({ method: "GET", path, op: `read the log of pod ${name}` });
  await pipeline(stream, process.stdout, { end: false });
  client.close();
}
