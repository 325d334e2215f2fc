import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { PodSpec, PodStatus } from "kubernetes-types/core/v1";
import { podStatus, type StatusInput } from "./status.ts";
import { NOW, observed, pod } from "./testing/observed.ts";

const TIME = "2026-01-01T00:00:00Z";
const BEFORE = "2025-12-31T23:59:50Z";
const ENDED = "2025-12-31T23:59:55Z";

function statusOf(change: Partial<StatusInput>): PodStatus {
  return podStatus({
    pod: pod(),
    observed: observed([]),
    hostIps: ["172.18.0.11", "fd00:18::b"],
    podIps: ["10.244.0.5"],
    waiting: new Map(),
    ready: () => true,
    started: () => true,
    terminationMessage: () => undefined,
    finished: false,
    nowMs: NOW,
    ...change,
  });
}

function conditionOf(status: PodStatus, type: string): string {
  const found = status.conditions?.find((condition) => condition.type === type);
  return [found?.status, found?.reason].filter((text) => text !== undefined).join(" ");
}

describe("phase", () => {
  const init = { initContainers: [{ name: "i" }] };
  const table: readonly [string, Partial<StatusInput>, string][] = [
    ["nothing runs yet", {}, "Pending"],
    ["init containers run", { pod: pod(init), observed: observed(["i:running"]) }, "Pending"],
    ["it runs", { observed: observed(["a:running"]) }, "Running"],
    ["it crashed and will be started again", { observed: observed(["a:exited=1"]) }, "Running"],
    ["one of two is missing", { pod: pod({ containers: [{ name: "a" }, { name: "b" }] }), observed: observed(["a:running"]) }, "Pending"],
    ["it has done its work", { observed: observed(["a:exited=0"]), finished: true }, "Succeeded"],
    ["it has failed", { observed: observed(["a:exited=2"]), finished: true }, "Failed"],
    ["its init containers have failed", { pod: pod(init), observed: observed(["i:exited=1"]), finished: true }, "Failed"],
    ["it stays as it ended", { pod: pod({}, { phase: "Failed" }), observed: observed([]) }, "Failed"],
  ];
  for (const [name, change, phase] of table) test(name, () => assert.equal(statusOf(change).phase, phase));
});

describe("containers", () => {
  test("one that runs", () => {
    assert.deepEqual(statusOf({ observed: observed(["a:running"]) }).containerStatuses, [
      {
        name: "a",
        image: "img",
        imageID: "img-id",
        state: { running: { startedAt: BEFORE } },
        lastState: {},
        ready: true,
        started: true,
        restartCount: 0,
        containerID: "fairlead://a-0",
      },
    ]);
  });

  test("one that is held back shows its end as the last state", () => {
    const waiting = new Map([["a", { reason: "CrashLoopBackOff", message: "back-off" }]]);
    const [status] = statusOf({ observed: observed(["a:exited=1", "a/1:exited=3"]), waiting }).containerStatuses ?? [];
    assert.deepEqual(status?.state, { waiting: { reason: "CrashLoopBackOff", message: "back-off" } });
    assert.deepEqual([status?.lastState?.terminated?.exitCode, status?.restartCount, status?.ready], [3, 1, false]);
  });

  test("one that was started again shows the one before, with its last words", () => {
    const [status] =
      statusOf({ observed: observed(["a:exited=1", "a/1:running"]), terminationMessage: (id) => `${id} says` }).containerStatuses ?? [];
    assert.deepEqual(status?.lastState?.terminated, {
      exitCode: 1,
      reason: "Error",
      message: "a-0 says",
      startedAt: BEFORE,
      finishedAt: ENDED,
      containerID: "fairlead://a-0",
    });
    assert.ok(status?.state?.running);
  });

  test("ephemeral containers have a state and nothing else, and keep it when their sandbox is gone", () => {
    const spec = { ephemeralContainers: [{ name: "e" }] };
    const waiting = statusOf({ pod: pod(spec), observed: observed(["a:running"]) });
    assert.equal(waiting.ephemeralContainerStatuses?.[0]?.state?.waiting?.reason, "ContainerCreating");
    const running = statusOf({ pod: pod(spec), observed: observed(["a:running", "e:running"]) });
    assert.equal(running.phase, "Running");
    assert.equal(conditionOf(running, "Ready"), "True");
    const [status] = running.ephemeralContainerStatuses ?? [];
    assert.deepEqual([status?.ready, status?.started, status?.state], [false, undefined, { running: { startedAt: BEFORE } }]);
    const [gone] = statusOf({ pod: pod(spec, running), observed: observed(["a/1:running"]) }).ephemeralContainerStatuses ?? [];
    assert.equal(gone?.state?.terminated?.reason, "ContainerStatusUnknown");
    assert.equal(gone?.state?.terminated?.finishedAt, TIME);
  });

  test("init containers are ready when they have done their work, sidecars when they serve", () => {
    const spec = { initContainers: [{ name: "i" }, { name: "s", restartPolicy: "Always" }] } as Partial<PodSpec>;
    const first = statusOf({ pod: pod(spec), observed: observed(["i:running"]) });
    assert.deepEqual(
      first.initContainerStatuses?.map(({ ready }) => ready),
      [false, false],
    );
    assert.equal(first.containerStatuses?.[0]?.state?.waiting?.reason, "PodInitializing");
    assert.equal(conditionOf(first, "Initialized"), "False ContainersNotInitialized");
    const second = statusOf({ pod: pod(spec), observed: observed(["i:exited=0", "s:running"]) });
    assert.deepEqual(
      second.initContainerStatuses?.map(({ ready }) => ready),
      [true, true],
    );
    assert.equal(conditionOf(second, "Initialized"), "True");
  });
});

describe("conditions", () => {
  test("of a pod that serves", () => {
    const status = statusOf({ observed: observed(["a:running"]) });
    const all = status.conditions?.map(({ type, status: value }) => `${type} ${value}`);
    assert.deepEqual(all, [
      "PodReadyToStartContainers True",
      "Initialized True",
      "Ready True",
      "ContainersReady True",
      "PodScheduled True",
    ]);
  });

  test("of one that is not ready, names what is not", () => {
    const status = statusOf({ observed: observed(["a:running"]), ready: () => false });
    assert.equal(conditionOf(status, "Ready"), "False ContainersNotReady");
    assert.equal(status.conditions?.find(({ type }) => type === "Ready")?.message, "containers with unready status: [a]");
  });

  test("of one that has ended", () => {
    const done = statusOf({ observed: observed(["a:exited=0"]), finished: true });
    assert.deepEqual([conditionOf(done, "Ready"), conditionOf(done, "Initialized")], ["False PodCompleted", "True PodCompleted"]);
    assert.equal(conditionOf(statusOf({ observed: observed(["a:exited=1"]), finished: true }), "Ready"), "False PodFailed");
  });

  test("readiness gates are others' to open", () => {
    const spec = { readinessGates: [{ conditionType: "example.com/open" }] };
    const closed = statusOf({ pod: pod(spec), observed: observed(["a:running"]) });
    assert.deepEqual([conditionOf(closed, "Ready"), conditionOf(closed, "ContainersReady")], ["False ReadinessGatesNotReady", "True"]);
    const gate = { type: "example.com/open", status: "True", lastTransitionTime: BEFORE };
    const open = statusOf({ pod: pod(spec, { conditions: [gate] }), observed: observed(["a:running"]) });
    assert.equal(conditionOf(open, "Ready"), "True");
    assert.deepEqual(open.conditions?.at(-1), gate);
  });

  test("keep their time until they change", () => {
    const conditions = [
      { type: "Ready", status: "True", lastTransitionTime: BEFORE },
      { type: "ContainersReady", status: "False", lastTransitionTime: BEFORE },
    ];
    const { conditions: now = [] } = statusOf({ pod: pod({}, { conditions, startTime: BEFORE }), observed: observed(["a:running"]) });
    const times = Object.fromEntries(now.map(({ type, lastTransitionTime }) => [type, lastTransitionTime]));
    assert.deepEqual([times["Ready"], times["ContainersReady"]], [BEFORE, TIME]);
  });
});

test("addresses of both families, and what others have written", () => {
  const status = statusOf({ pod: pod({}, { startTime: BEFORE, nominatedNodeName: "n" }), podIps: ["10.244.0.5", "fd00::5"] });
  assert.deepEqual([status.hostIP, status.podIP], ["172.18.0.11", "10.244.0.5"]);
  assert.deepEqual(status.podIPs, [{ ip: "10.244.0.5" }, { ip: "fd00::5" }]);
  assert.deepEqual(status.hostIPs, [{ ip: "172.18.0.11" }, { ip: "fd00:18::b" }]);
  assert.deepEqual([status.startTime, status.nominatedNodeName, status.qosClass], [BEFORE, "n", "BestEffort"]);
  assert.equal("podIP" in statusOf({ podIps: [] }), false);
});
