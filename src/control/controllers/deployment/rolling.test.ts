import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Deployment } from "kubernetes-types/apps/v1";
import { type Bounds, boundsOf, newReplicaSetSize, proportionalScale, type Resize, rollingStep, type Size } from "./rolling.ts";

function deployment(replicas: number, maxSurge: number | string, maxUnavailable: number | string): Deployment {
  const rollingUpdate = { maxSurge, maxUnavailable };
  return { spec: { replicas, selector: {}, template: {}, strategy: { type: "RollingUpdate", rollingUpdate } } };
}

const BOUNDS: readonly [number, number | string, number | string, number, number][] = [
  [10, "25%", "25%", 3, 2],
  [1, "25%", "25%", 1, 0],
  [3, 0, 0, 0, 1],
  [4, "0%", "10%", 0, 1],
  [4, 2, 10, 2, 4],
  [0, "25%", "25%", 0, 0],
];

for (const [replicas, surge, unavailable, maxSurge, maxUnavailable] of BOUNDS) {
  test(`bounds: ${replicas} replicas with surge ${surge} and unavailable ${unavailable}`, () => {
    assert.deepEqual(boundsOf(deployment(replicas, surge, unavailable)), { desired: replicas, maxSurge, maxUnavailable });
  });
}

function size(name: string, replicas: number, available: number = replicas): Size {
  return { name, replicas, available };
}

const b10: Bounds = { desired: 10, maxSurge: 3, maxUnavailable: 2 };

const STEPS: readonly [string, Bounds, Size, Size[], Resize[]][] = [
  ["grows into the surge first", b10, size("new", 0), [size("old", 10)], [{ name: "new", replicas: 3 }]],
  ["then shrinks the old by what may be missing", b10, size("new", 3, 0), [size("old", 10)], [{ name: "old", replicas: 8 }]],
  ["waits while nothing may be missing any more", b10, size("new", 5, 0), [size("old", 8)], []],
  ["moves on with each new pod that is available", b10, size("new", 5, 1), [size("old", 8)], [{ name: "old", replicas: 7 }]],
  ["removes what does not serve first", b10, size("new", 3, 0), [size("bad", 5, 0), size("good", 5)], [{ name: "bad", replicas: 3 }]],
  ["shrinks a new one that is too big", b10, size("new", 12), [], [{ name: "new", replicas: 10 }]],
  ["is done", b10, size("new", 10), [size("old", 0)], []],
  [
    "without surge: shrinks before it grows",
    { desired: 2, maxSurge: 0, maxUnavailable: 1 },
    size("new", 0),
    [size("old", 2)],
    [{ name: "old", replicas: 1 }],
  ],
];

for (const [name, bounds, fresh, old, expected] of STEPS) {
  test(`rolling step: ${name}`, () => assert.deepEqual(rollingStep(bounds, fresh, old), expected));
}

const SCALES: readonly [string, Bounds, Size[], Resize[]][] = [
  // The example of the Kubernetes documentation ("Proportional scaling"): 10 → 15 in the middle of a rollout.
  [
    "10 to 15",
    { desired: 15, maxSurge: 3, maxUnavailable: 2 },
    [
      { ...size("old", 8), maxReplicas: 13 },
      { ...size("new", 5, 0), maxReplicas: 13 },
    ],
    [
      { name: "old", replicas: 11 },
      { name: "new", replicas: 7 },
    ],
  ],
  [
    "to zero",
    { desired: 0, maxSurge: 0, maxUnavailable: 0 },
    [size("old", 5), size("new", 3)],
    [
      { name: "old", replicas: 0 },
      { name: "new", replicas: 0 },
    ],
  ],
  ["nothing to add", { desired: 5, maxSurge: 0, maxUnavailable: 1 }, [size("old", 2), size("new", 3)], []],
];

for (const [name, bounds, active, expected] of SCALES) {
  test(`proportional scale: ${name}`, () => assert.deepEqual(proportionalScale(bounds, active, 13), expected));
}

const anyBounds = fc
  .record({ replicas: fc.nat(20), surge: fc.nat(100), unavailable: fc.nat(100) })
  .map(({ replicas, surge, unavailable }) => boundsOf(deployment(replicas, `${surge}%`, `${unavailable}%`)));

function replicas(sizes: readonly { replicas: number }[]): number {
  return sizes.reduce((sum, { replicas }) => sum + replicas, 0);
}

test("a rollout ends, never has more pods than allowed, and never takes down more than allowed", () => {
  fc.assert(
    fc.property(anyBounds, fc.array(fc.nat(8), { maxLength: 3 }), fc.infiniteStream(fc.nat(3)), (bounds, oldSizes, chance) => {
      const old = oldSizes.map((n, i) => ({ name: `old${i}`, replicas: n, available: n }));
      const fresh = { name: "new", replicas: 0, available: 0 };
      const all = [...old, fresh];
      const startTotal = replicas(all);
      const startAvailable = startTotal;
      for (let round = 0; round < 300; round++) {
        const steps = rollingStep(bounds, fresh, old);
        for (const step of steps) {
          const target = all.find((s) => s.name === step.name);
          assert.ok(target !== undefined);
          assert.ok(step.replicas >= 0);
          // A ReplicaSet removes its unavailable pods first.
          target.replicas = step.replicas;
          target.available = Math.min(target.available, step.replicas);
        }
        assert.ok(replicas(all) <= Math.max(startTotal, bounds.desired + bounds.maxSurge), "too many pods");
        const available = all.reduce((sum, s) => sum + s.available, 0);
        assert.ok(available >= Math.min(startAvailable, bounds.desired - bounds.maxUnavailable), "too few available pods");
        for (const s of all) s.available = Math.min(s.replicas, s.available + Number(chance.next().value));
        if (fresh.available === bounds.desired && replicas(old) === 0) return;
      }
      assert.fail(`no end: ${JSON.stringify({ bounds, all })}`);
    }),
    { numRuns: 300 },
  );
});

test("proportional scaling reaches the allowed size exactly", () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 2, maxLength: 4 });
  fc.assert(
    fc.property(anyBounds, sizes, (bounds, given) => {
      const active = given.map((n, i) => ({
        name: `rs${i}`,
        replicas: n,
        available: n,
        maxReplicas: replicas(given.map((g) => ({ replicas: g }))),
      }));
      const after = new Map(active.map((s) => [s.name, s.replicas]));
      for (const { name, replicas } of proportionalScale(bounds, active, 0)) after.set(name, replicas);
      const allowed = bounds.desired === 0 ? 0 : bounds.desired + bounds.maxSurge;
      const total = [...after.values()].reduce((sum, n) => sum + n, 0);
      assert.ok([...after.values()].every((n) => n >= 0));
      assert.equal(total, allowed);
    }),
  );
});

test("a new ReplicaSet begins with what there is room for", () => {
  assert.equal(newReplicaSetSize(b10, 0, 10), 3);
  assert.equal(newReplicaSetSize(b10, 0, 0), 10);
  assert.equal(newReplicaSetSize(b10, 2, 13), 2);
});
