// One cluster, a namespace for each test, several tests at a time.
import { errorMessage } from "#base";
import { NODES, SERVICES } from "#kube";
import { startTestCluster, type TestCluster } from "../src/app/testing/cluster.ts";
import { createFixtures, type Fixtures } from "./fixture/fixture.ts";
import type { ConformanceTest, Fixture, Outcome } from "./types.ts";

export interface RunOptions {
  readonly jobs: number;
  /** Of `./fairlead up`. */
  readonly flags: readonly string[];
  readonly progress: (text: string) => void;
}

const TEST_TIMEOUT_MS = 120_000;

/** Outcomes in the order of `tests`. The cluster is removed whatever happens, also at Ctrl-C. */
export async function runAll(tests: readonly ConformanceTest[], options: RunOptions): Promise<Outcome[]> {
  const { progress } = options;
  const outcomes = new Map<string, Outcome>();
  const skip = (test: ConformanceTest, reason: string): Outcome => ({ title: test.title, result: "skipped", seconds: 0, reason });
  for (const test of tests) if (test.skip !== undefined) outcomes.set(test.title, skip(test, test.skip));
  const runnable = tests.filter((test) => test.skip === undefined);
  if (runnable.length > 0) {
    const startedAt = performance.now();
    await using cluster = await startTestCluster({ name: "conformance", flags: options.flags });
    const onSignal = (): void => {
      void Promise.resolve(cluster[Symbol.asyncDispose]()).finally(() => process.exit(130));
    };
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, onSignal);
    const fixtures = createFixtures(cluster, await describeNetwork(cluster));
    progress(`cluster (${options.flags.join(" ")}) ready after ${seconds(startedAt)} s; commands in pods through ${fixtures.execName}`);
    const run = async (test: ConformanceTest): Promise<void> => {
      const outcome = await runOne(test, fixtures);
      outcomes.set(test.title, outcome);
      progress(`${outcome.result} (${outcome.seconds.toFixed(1)} s) ${test.title}`);
    };
    // Those that measure come first, while nothing is being cleaned up.
    for (const test of runnable.filter((test) => test.alone === true)) await run(test);
    const waiting = runnable.filter((test) => test.alone !== true);
    const worker = async (): Promise<void> => {
      for (let test = waiting.shift(); test !== undefined; test = waiting.shift()) await run(test);
    };
    await Promise.all(Array.from({ length: options.jobs }, worker));
    progress(`all done after ${seconds(startedAt)} s`);
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.removeListener(signal, onSignal);
  }
  return tests.flatMap((test) => outcomes.get(test.title) ?? []);
}

function seconds(sinceMs: number): string {
  return ((performance.now() - sinceMs) / 1000).toFixed(1);
}

async function runOne(test: ConformanceTest, fixtures: Fixtures): Promise<Outcome> {
  const startedAt = performance.now();
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(new Error(`it took longer than ${TEST_TIMEOUT_MS / 1000} s`)), TEST_TIMEOUT_MS);
  const notes: string[] = [];
  const took = (): number => (performance.now() - startedAt) / 1000;
  try {
    await using own = await fixtures.create(abort.signal, notes);
    const timedOut = new Promise<never>((_, reject) => {
      abort.signal.addEventListener("abort", () => reject(abort.signal.reason), { once: true });
    });
    await Promise.race([test.run(own.fixture), timedOut]);
    return { title: test.title, result: "passed", seconds: took(), reason: notes.join("; ") };
  } catch (err) {
    return { title: test.title, result: "failed", seconds: took(), reason: errorMessage(err) };
  } finally {
    clearTimeout(timer);
    abort.abort();
  }
}

/** The first family is that of the Service `kubernetes`; the nodes' addresses are of it. */
async function describeNetwork({ client }: TestCluster): Promise<Pick<Fixture, "family" | "nodes">> {
  const { spec } = await client.get(SERVICES, { namespace: "default", name: "kubernetes" });
  const family = spec?.ipFamilies?.[0] === "IPv6" ? 6 : 4;
  const { items } = await client.list(NODES);
  const nodes = items.map((node) => {
    const own = node.status?.addresses?.filter(({ type }) => type === "InternalIP").map(({ address }) => address) ?? [];
    return { name: node.metadata.name, ip: own.find((ip) => ip.includes(":") === (family === 6)) ?? "" };
  });
  return { family, nodes };
}
