// Faults, staged one after the other in one cluster: what is predicted and what is observed must both name the true cause, and without
// faults there must be none.
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import type { Cause, RawQuestion, Trace } from "#trace";
import { FAULTS } from "../testing/trace-faults.ts";
import type { Fault } from "../testing/trace-staging.ts";
import { startTraceWorld, type TraceWorld } from "../testing/trace-world.ts";

/** How long a node may take to hear of a change. */
const HEARD_MS = 8000;

/** "all", or a word in the names of those that are wanted; without it one fault for each cause. */
const WANTED = process.env["FAIRLEAD_FAULTS"];

function isWanted({ name, cause }: Fault): boolean {
  if (WANTED === undefined) return FAULTS.find((fault) => fault.cause === cause)?.name === name;
  return WANTED === "all" || name.includes(WANTED);
}

suite("trace", () => {
  let world: TraceWorld;
  before(async () => {
    world = await startTraceWorld();
  });
  after(async () => {
    await world[Symbol.asyncDispose]();
  });

  for (const fault of FAULTS.filter(isWanted)) {
    test(fault.name, async () => {
      const question = { namespace: "default", ...fault.question };
      try {
        await fault.stage?.(world);
        await heard(fault, question);
        const trace = await world.trace(question);
        assert.deepEqual(codes(trace), { predicted: predictedCode(fault), observed: fault.cause }, explain(trace));
        assert.match(words(trace), fault.says);
      } finally {
        await fault.undo?.(world);
      }
    });
  }

  test("nothing is wrong", async () => {
    for (const question of [
      { from: "web", to: "svc/db" },
      { from: "web", to: "pod/db", port: "8080", family: 6 },
      { from: "web", to: "db.default" },
    ] as const) {
      const trace = await allowed({ namespace: "default", ...question });
      assert.deepEqual([trace.verdict, trace.leg?.differences], ["allowed", []], explain(trace));
    }
  });

  test("the command: text or JSON, and what its exit code says", async () => {
    const said = (...args: string[]) => world.cluster.fairlead("trace", ...args);
    const json = await said("web", "svc/db", "-o", "json");
    assert.deepEqual([json.code, (JSON.parse(json.stdout) as Trace).verdict], [0, "allowed"], json.stderr);
    const closed = await said("web", "pod/db", "--port", "9999", "--no-probe");
    assert.equal(closed.code, 1, closed.stderr);
    assert.match(closed.stdout, /refused \(predicted\): nobody listens at 9999\/tcp in default\/db\n$/);
    const nobody = await said("nobody", "db");
    assert.equal(nobody.code, 2);
    assert.match(nobody.stderr, /there is no pod default\/nobody/);
  });

  test("what the model does not know is told as a difference, with the table", async () => {
    const chain = "add chain netdev theirs c { type filter hook ingress device cni0 priority 0; policy drop; }";
    await world.run("node-1", "nft", `add table netdev theirs; ${chain}`);
    try {
      const trace = await world.trace({ from: "web", to: "pod/db", port: "8080", namespace: "default" });
      assert.deepEqual([trace.verdict, trace.cause?.code], ["silence", "foreign rule"], explain(trace));
      assert.equal(trace.leg?.differences[0], "predicted allowed, observed silence");
      assert.match(words(trace), /table netdev theirs, chain c, on node-1/);
    } finally {
      await world.run("node-1", "nft", "delete table netdev theirs");
    }
  });

  /** What a name server says is not foreseen, and of what cannot be sent nothing is seen. */
  function predictedCode({ cause }: Fault): string {
    return cause === "no such name" ? "not foreseen" : cause;
  }

  function codes({ leg, dns, cause }: Trace): { predicted: string; observed: string } {
    const one = dns?.cause === undefined ? leg : dns.leg;
    if (one === undefined) return { predicted: cause?.code ?? "none", observed: cause?.code ?? "none" };
    const isDns = dns?.cause !== undefined;
    const inDns = ({ verdict }: { readonly verdict: string }): string => (verdict === "refused" ? "dns refused" : "dns blocked");
    const of = (side: { readonly cause?: Cause; readonly verdict: string } | undefined): string =>
      side?.cause === undefined ? "none" : isDns ? inDns(side) : side.cause.code;
    if (dns?.cause?.code === "no such name") return { predicted: "not foreseen", observed: "no such name" };
    return { predicted: of(one.predicted), observed: of(one.observed) };
  }

  async function heard(fault: Fault, question: RawQuestion): Promise<void> {
    if (fault.stage === undefined || fault.cause === "pod not running") return;
    const end = Date.now() + HEARD_MS;
    while (Date.now() < end) {
      const trace = await world.predict(question);
      if (codes(trace).predicted === fault.cause) return;
      // What agents find missing they may have put there again.
      if (fault.isHealed === true) await fault.stage(world);
    }
  }

  async function allowed(question: RawQuestion): Promise<Trace> {
    const end = Date.now() + HEARD_MS;
    for (;;) {
      const trace = await world.trace(question);
      if ((trace.verdict === "allowed" && trace.leg?.differences.length === 0) || Date.now() > end) return trace;
    }
  }

  function words({ sentence, cause, leg }: Trace): string {
    const causes = [cause, leg?.predicted.cause, leg?.observed?.cause].filter((one) => one !== undefined);
    return [sentence, ...causes.flatMap((one) => [one.sentence, ...one.facts, ...(one.nearMisses ?? []), ...(one.fixes ?? [])])].join("\n");
  }

  function explain(trace: Trace): string {
    const leg = trace.leg ?? trace.dns?.leg;
    const probe = JSON.stringify(leg?.observed?.probe, (_, value) => (value instanceof Uint8Array ? value.join(".") : (value as unknown)));
    return [words(trace), `probe: ${probe}`, ...(leg?.observed?.problems ?? []), ...(leg?.differences ?? [])].join("\n");
  }
});
