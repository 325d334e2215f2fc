// What the sandbox's own kernel objects hold and what passes them: the underlay and `outside`. Loaded when somebody asks.
import { FairleadError } from "#base";
import type { NetNs } from "#linux";
import type { ObserverPages } from "#observe";
import { askControl, controlLines } from "./control.ts";
import type { Underlay } from "./underlay.ts";

const SANDBOX = "sandbox";

/** `root` is the underlay's namespace. */
export function lazyObserver(root: NetNs, { outside, nodes }: Underlay): () => Promise<ObserverPages> {
  const opened = {
    namespaces: [
      { role: "underlay", name: "underlay", ns: root },
      { role: "outside", name: "outside", ns: outside },
    ],
    beyond: [...nodes.values()],
    close() {},
  } as const;
  let loaded: Promise<ObserverPages> | undefined;
  return () => {
    loaded ??= import("#observe").then(({ observerPages }) => observerPages({ node: SANDBOX, open: () => Promise.resolve(opened) }));
    return loaded;
  };
}

/** The host's side of it. Bodies and answers are JSON as `#observe` encodes them. */
export interface SandboxObserver {
  readonly node: string;
  network(signal: AbortSignal): Promise<unknown>;
  probe(body: unknown, signal: AbortSignal): Promise<unknown>;
  packets(body: unknown, signal: AbortSignal): AsyncIterable<unknown>;
}

/** By the sandbox's control socket. Throws FairleadError with what the sandbox says against it. */
export function sandboxObserver(controlSocket: string): SandboxObserver {
  const ask = async (request: Parameters<typeof askControl>[1], signal: AbortSignal): Promise<unknown> => {
    const { line, socket } = await askControl(controlSocket, request, signal);
    socket.destroy();
    return answerIn(line);
  };
  return {
    node: SANDBOX,
    network: (signal) => ask({ op: "network" }, signal),
    probe: (body, signal) => ask({ op: "probe", body }, signal),
    async *packets(body, signal) {
      const { line, socket } = await askControl(controlSocket, { op: "packets", body }, signal);
      try {
        yield answerIn(line);
        for await (const next of controlLines(socket)) yield answerIn(next);
      } finally {
        socket.destroy();
      }
    },
  };
}

function answerIn(line: string): unknown {
  const answer: unknown = JSON.parse(line);
  if (typeof answer === "object" && answer !== null && "error" in answer) {
    throw new FairleadError(`the sandbox cannot answer: ${String(answer.error)}`, { code: "NoAnswer" });
  }
  return answer;
}
