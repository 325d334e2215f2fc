// Clients that go on asking from a namespace of a cluster while a test does something, and what became of their requests.
import { once } from "node:events";
import { createInterface } from "node:readline";
import { ROOT, type TestCluster } from "./cluster.ts";

export interface Job {
  readonly name: string;
  /**
   * `kept`: one connection, or one socket with its port, for all requests; `new`: one for each. HTTP and UDP are answered by agnhost netexec,
   * DNS by a server of the cluster. `udp-who` only notes who answers when, and counts no failures.
   */
  readonly kind: "http-kept" | "http-new" | "udp-kept" | "udp-new" | "udp-who" | "dns-kept" | "dns-new";
  readonly host: string;
  readonly port: number;
  readonly perSecond: number;
}

export interface JobResult {
  readonly name: string;
  readonly sent: number;
  /** Of those that were answered. */
  readonly slowestMs: number;
  /** Requests without an answer; `at` is when they were sent, in milliseconds since 1970. */
  readonly failures: readonly { readonly at: number; readonly why: string }[];
  /** Who answered, where it can be told. */
  readonly by: Readonly<Record<string, { readonly count: number; readonly first: number; readonly last: number }>>;
}

export interface Load {
  /** Resolves when every job `udp-who` has been answered by `who`. */
  heard(who: string): Promise<void>;
  /** Waits for what is under way. */
  stop(): Promise<JobResult[]>;
}

/** Resolves when every job has had an answer: all counts from then on. `namespace` is as in `TestCluster.inside`. */
export async function startLoad(cluster: TestCluster, namespace: string, jobs: readonly Job[]): Promise<Load> {
  const child = cluster.spawnInside(namespace, process.execPath, `${ROOT}src/app/testing/load.ts`, JSON.stringify(jobs));
  if (child.stdout === null) throw new Error("the load has no output");
  const lines: string[] = [];
  const reader = createInterface({ input: child.stdout });
  reader.on("line", (line) => lines.push(line));
  const listeners = jobs.filter(({ kind }) => kind === "udp-who").length;
  const hears = (who: string): boolean => lines.filter((line) => line === JSON.stringify(`heard ${who}`)).length === listeners;
  const ended = once(child, "exit").then(() => Promise.reject(new Error(`the load in ${namespace} has ended`)));
  ended.catch(() => {});
  await Promise.race([once(reader, "line"), ended]);
  const closed = once(reader, "close");
  return {
    async stop() {
      child.stdin?.end();
      await closed;
      return JSON.parse(lines.at(-1) ?? "") as JobResult[];
    },
    async heard(who) {
      while (!hears(who)) await Promise.race([once(reader, "line"), ended]);
    },
  };
}

/** The path of a pod's network namespace inside the sandbox, by a process that is in it. The pod's image must have `readlink`. */
export async function namespaceOf(cluster: TestCluster, pod: string): Promise<string> {
  const seen = await cluster.fairlead("exec", pod, "--", "readlink", "/proc/self/ns/net");
  const inode = seen.stdout.trim();
  const look = `for p in /proc/[0-9]*; do [ "$(readlink $p/ns/net)" = '${inode}' ] && echo $p/ns/net && break; done`;
  const found = await cluster.inside("node-1", "sh", "-c", look);
  if (inode === "" || found.stdout.trim() === "")
    throw new Error(`cannot find the network namespace of ${pod}: ${seen.stderr}${found.stderr}`);
  return found.stdout.trim();
}

/** One line for people. */
export function describeResults(results: readonly JobResult[]): string {
  const sent = results.reduce((sum, result) => sum + result.sent, 0);
  const failed = results.reduce((sum, { failures }) => sum + failures.length, 0);
  return `${sent} requests, ${failed} failed, slowest ${Math.max(...results.map(({ slowestMs }) => slowestMs))} ms`;
}
