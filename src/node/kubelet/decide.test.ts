import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { PodSpec, PodStatus } from "kubernetes-types/core/v1";
import { CrashBackoff } from "./crash-backoff.ts";
import { type Decision, decide, formatSeconds, type Health, type Observed } from "./decide.ts";
import { NOW, observed, pod } from "./testing/observed.ts";

interface Want {
  readonly newSandbox?: boolean;
  readonly start?: readonly string[];
  readonly end?: readonly string[];
  readonly waiting?: readonly string[];
  readonly finished?: boolean;
}

function summary(decision: Decision): Required<Want> {
  return {
    newSandbox: decision.newSandbox,
    start: decision.start.map(({ name }) => name),
    end: decision.end.map(({ container }) => container.name),
    waiting: [...decision.waiting].map(([name, { reason }]) => `${name} ${reason}`),
    finished: decision.finished,
  };
}

interface Row {
  readonly name: string;
  readonly spec?: Partial<PodSpec>;
  readonly status?: PodStatus;
  readonly observed: Observed;
  readonly health?: Readonly<Record<string, Health>>;
  /** Containers that have been started again before. */
  readonly crashed?: readonly string[];
  readonly want: Want;
}

const TWO = { containers: [{ name: "a" }, { name: "b" }] };
const EPHEMERAL = { ephemeralContainers: [{ name: "e" }] };
const INIT = { initContainers: [{ name: "i1" }, { name: "i2" }] };
const SIDECAR = { initContainers: [{ name: "side", restartPolicy: "Always" }, { name: "i2" }] } as Partial<PodSpec>;

const ROWS: readonly Row[] = [
  { name: "a new pod", observed: observed([], "none"), want: { newSandbox: true, start: ["a", "b"] } },
  { name: "all runs", observed: observed(["a:running", "b:running"]), want: {} },
  { name: "one is missing", observed: observed(["a:running"]), want: { start: ["b"] } },
  { name: "one was made and never ran", observed: observed(["a:running", "b:created"]), want: { start: ["b"] } },
  { name: "one ended: at once the first time", observed: observed(["a:exited=1", "b:running"]), want: { start: ["a"] } },
  {
    name: "one ended: held back the second time",
    observed: observed(["a/1:exited=1", "b:running"]),
    crashed: ["a"],
    want: { waiting: ["a CrashLoopBackOff"] },
  },
  {
    name: "OnFailure leaves what succeeded",
    spec: { restartPolicy: "OnFailure" },
    observed: observed(["a:exited=0", "b:exited=1"]),
    want: { start: ["b"] },
  },
  {
    name: "OnFailure ends with the last success",
    spec: { restartPolicy: "OnFailure" },
    observed: observed(["a:exited=0", "b:exited=0"]),
    want: { finished: true },
  },
  { name: "Never goes on while one runs", spec: { restartPolicy: "Never" }, observed: observed(["a:exited=1", "b:running"]), want: {} },
  {
    name: "Never ends when all have ended",
    spec: { restartPolicy: "Never" },
    observed: observed(["a:exited=1", "b:exited=0"]),
    want: { finished: true },
  },
  { name: "the sandbox died", observed: observed(["a:running", "b:running"], "notReady"), want: { newSandbox: true, start: ["a", "b"] } },
  {
    name: "the sandbox of a finished pod is not made again",
    spec: { restartPolicy: "Never" },
    observed: observed(["a:exited=0", "b:exited=0"], "notReady"),
    want: { finished: true },
  },
  { name: "init containers come one by one", spec: INIT, observed: observed([], "none"), want: { newSandbox: true, start: ["i1"] } },
  { name: "the first still runs", spec: INIT, observed: observed(["i1:running"]), want: {} },
  { name: "the second follows", spec: INIT, observed: observed(["i1:exited=0"]), want: { start: ["i2"] } },
  { name: "the others follow them", spec: INIT, observed: observed(["i1:exited=0", "i2:exited=0"]), want: { start: ["a", "b"] } },
  { name: "a failed one is started again", spec: INIT, observed: observed(["i1:exited=1"]), want: { start: ["i1"] } },
  {
    name: "a failed one is the end of a pod that is never restarted",
    spec: { ...INIT, restartPolicy: "Never" },
    observed: observed(["i1:exited=1"]),
    want: { finished: true },
  },
  {
    name: "once the others began, init containers are not looked at",
    spec: INIT,
    observed: observed(["i1:exited=0", "i2:exited=0", "a:running", "b:exited=1"]),
    want: { start: ["b"] },
  },
  { name: "a sidecar comes first", spec: SIDECAR, observed: observed([]), want: { start: ["side"] } },
  {
    name: "what follows waits until the sidecar has started",
    spec: SIDECAR,
    observed: observed(["side:running"]),
    health: { "side-0": { started: false } },
    want: {},
  },
  { name: "then it goes on beside it", spec: SIDECAR, observed: observed(["side:running"]), want: { start: ["i2"] } },
  {
    name: "a sidecar that ends is started again, whatever the policy",
    spec: { ...SIDECAR, restartPolicy: "Never" },
    observed: observed(["side:exited=0", "i2:exited=0", "a:running", "b:running"]),
    want: { start: ["side"] },
  },
  {
    name: "a sidecar does not keep a pod going",
    spec: { ...SIDECAR, restartPolicy: "Never" },
    observed: observed(["side:running", "i2:exited=0", "a:exited=0", "b:exited=0"]),
    want: { finished: true },
  },
  {
    name: "a container whose liveness probe failed is ended",
    observed: observed(["a:running", "b:running"]),
    health: { "b-0": { started: true, failed: { reason: "Unhealthy", message: "no" } } },
    want: { end: ["b"] },
  },
  { name: "an ephemeral container is started", spec: EPHEMERAL, observed: observed(["a:running", "b:running"]), want: { start: ["e"] } },
  {
    name: "an ephemeral container does not wait for init containers",
    spec: { ...INIT, ...EPHEMERAL },
    observed: observed(["i1:running"]),
    want: { start: ["e"] },
  },
  {
    name: "an ephemeral container is not started again",
    spec: EPHEMERAL,
    observed: observed(["a:running", "b:running", "e:exited=1"]),
    want: {},
  },
  {
    name: "an ephemeral container is not started again in a new sandbox",
    spec: EPHEMERAL,
    status: { ephemeralContainerStatuses: [{ name: "e", state: { running: {} }, ready: false, restartCount: 0, image: "", imageID: "" }] },
    observed: observed(["a:running", "b:running"]),
    want: {},
  },
  {
    name: "an ephemeral container needs a sandbox, and keeps no pod from ending",
    spec: { ...EPHEMERAL, restartPolicy: "Never" },
    observed: observed(["a:exited=0", "b:exited=0", "e:running"]),
    want: { finished: true },
  },
];

describe("what to do next", () => {
  for (const row of ROWS) {
    test(row.name, () => {
      const backoff = new CrashBackoff();
      for (const name of row.crashed ?? []) backoff.next(name, NOW - 6000);
      const healthOf = (id: string): Health => row.health?.[id] ?? { started: true };
      const decision = decide({ pod: pod({ ...TWO, ...row.spec }, row.status), observed: row.observed, healthOf, backoff, nowMs: NOW });
      assert.deepEqual(summary(decision), { newSandbox: false, start: [], end: [], waiting: [], finished: false, ...row.want });
    });
  }
});

test("what is held back says for how long, and when to look again", () => {
  const backoff = new CrashBackoff();
  backoff.next("a", NOW - 6000);
  const decision = decide({
    pod: pod(TWO),
    observed: observed(["a/1:exited=1", "b:running"]),
    healthOf: () => ({ started: true }),
    backoff,
    nowMs: NOW,
  });
  assert.equal(decision.waiting.get("a")?.message, "back-off 10s restarting failed container=a pod=p_default(u)");
  assert.equal(decision.retryAtMs, NOW - 5000 + 10_000);
});

test("the delay doubles up to five minutes and is forgotten after ten", () => {
  const backoff = new CrashBackoff();
  let now = 0;
  const delays: number[] = [];
  for (let i = 0; i < 8; i++) {
    delays.push(backoff.check("a", now, now)?.delayMs ?? 0);
    backoff.next("a", now);
    now += 1000;
  }
  assert.deepEqual(delays, [0, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000]);
  assert.equal(backoff.check("a", now + 600_001, now + 600_001), undefined);
  backoff.next("a", now + 600_001);
  assert.equal(backoff.check("a", now + 600_001, now + 600_001)?.delayMs, 10_000);
  assert.deepEqual([10_000, 80_000, 300_000].map(formatSeconds), ["10s", "1m20s", "5m0s"]);
});
