// Packets that a test has seen pass a link of a cluster.
import { once } from "node:events";
import { createInterface } from "node:readline";
import { ROOT, type TestCluster } from "./cluster.ts";

export interface ObservedPacket {
  readonly direction: "in" | "out";
  readonly src: string;
  readonly dst: string;
  readonly protocol: string;
  readonly srcPort: number;
  readonly dstPort: number;
  readonly flags: readonly string[];
  /** What a VXLAN packet carries. */
  readonly inner?: ObservedPacket;
}

export interface Observation {
  /** Ends the observation and returns all that passed. */
  stop(): Promise<ObservedPacket[]>;
}

/** Observes `link` in a namespace of the sandbox (a name, or the path of a file); resolves when nothing can pass unseen any more. */
export async function observe(cluster: TestCluster, namespace: string, link: string): Promise<Observation> {
  const child = cluster.spawnInside(namespace, process.execPath, `${ROOT}src/app/testing/observe.ts`, link);
  const lines: string[] = [];
  if (child.stdout === null) throw new Error("the observer has no output");
  const reader = createInterface({ input: child.stdout });
  const ready = once(reader, "line");
  reader.on("line", (line) => lines.push(line));
  await Promise.race([ready, once(child, "exit").then(() => Promise.reject(new Error(`cannot observe ${link} in ${namespace}`)))]);
  return {
    async stop() {
      const closed = once(reader, "close");
      child.stdin?.end();
      await closed;
      return lines.slice(1).map((line) => JSON.parse(line) as ObservedPacket);
    },
  };
}
