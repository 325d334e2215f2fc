import { formatKey, type ObjectKey, PODS, resourcePath } from "#kube";
import type { HttpClient } from "../http.ts";

export interface LogOptions {
  readonly container?: string | undefined;
  readonly follow?: boolean | undefined;
  readonly previous?: boolean | undefined;
  readonly timestamps?: boolean | undefined;
  readonly tailLines?: number | undefined;
  readonly sinceSeconds?: number | undefined;
  readonly limitBytes?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The log of a container as it comes; with `follow` until the container ends. ApiError when there is none. */
export async function* openLogs(client: HttpClient, pod: ObjectKey, options: LogOptions = {}): AsyncGenerator<Buffer> {
  const { signal, ...params } = options;
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== undefined) query.set(name, String(value));
  }
  const path = `${resourcePath(PODS, { namespace: pod.namespace ?? "default", name: pod.name }, "log")}?${query.toString()}`;
  const op = `read logs of pod ${formatKey(pod)}`;
  const response = await client.stream({ method: "GET", path, op, accept: "*/*", signal });
  try {
    for await (const chunk of response) yield chunk;
  } catch (err) {
    if (signal?.aborted !== true) throw err;
  } finally {
    response.destroy();
  }
}
