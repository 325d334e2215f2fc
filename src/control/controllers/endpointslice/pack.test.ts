import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Endpoint, EndpointPort } from "kubernetes-types/discovery/v1";
import { type ExistingSlice, groupByPorts, packSlices, portsKey } from "./pack.ts";

const HTTP: EndpointPort[] = [{ name: "http", port: 80, protocol: "TCP" }];
const ALT: EndpointPort[] = [{ name: "http", port: 8080, protocol: "TCP" }];

function endpoint(n: number, ready: boolean = true): Endpoint {
  return { addresses: [`10.0.0.${n}`], conditions: { ready }, targetRef: { kind: "Pod", uid: `pod-${n}` } };
}

function slice(id: string, ports: EndpointPort[], ...numbers: number[]): ExistingSlice {
  return { id, ports, endpoints: numbers.map((n) => endpoint(n)) };
}

function wanted(ports: EndpointPort[], ...numbers: number[]) {
  return { ports, endpoints: numbers.map((n) => endpoint(n)) };
}

function show(packed: { ports: readonly EndpointPort[]; endpoints: readonly Endpoint[] } | undefined): string {
  if (packed === undefined) return "none";
  return `${packed.ports[0]?.port ?? "-"}: ${packed.endpoints.map((e) => e.addresses[0]?.slice(7)).join(" ")}`;
}

function plan(groups: Parameters<typeof packSlices>[0], existing: ExistingSlice[]) {
  const { create, update, remove } = packSlices(groups, existing, 3);
  return { create: create.map(show), update: [...update].map(([id, packed]) => `${id} ${show(packed)}`), remove };
}

const CASES: readonly [string, Parameters<typeof packSlices>[0], ExistingSlice[], ReturnType<typeof plan>][] = [
  ["nothing to show is one empty slice", [], [], { create: ["-: "], update: [], remove: [] }],
  ["an empty slice stays", [], [slice("a", [])], { create: [], update: [], remove: [] }],
  ["the last endpoint goes: its slice becomes the empty one", [], [slice("a", HTTP, 1)], { create: [], update: ["a -: "], remove: [] }],
  [
    "the first endpoint comes: the empty slice is used",
    [wanted(HTTP, 1)],
    [slice("a", [])],
    { create: [], update: ["a 80: 1"], remove: [] },
  ],
  ["slices are filled", [wanted(HTTP, 1, 2, 3, 4)], [], { create: ["80: 1 2 3", "80: 4"], update: [], remove: [] }],
  ["nothing changes", [wanted(HTTP, 1, 2)], [slice("a", HTTP, 1), slice("b", HTTP, 2)], { create: [], update: [], remove: [] }],
  [
    "a new one joins the fullest slice that has room",
    [wanted(HTTP, 1, 2, 3, 4)],
    [slice("a", HTTP, 1), slice("b", HTTP, 2, 3)],
    { create: [], update: ["b 80: 2 3 4"], remove: [] },
  ],
  [
    "a slice that changes anyway takes new ones",
    [wanted(HTTP, 2, 3, 5)],
    [slice("a", HTTP, 1, 2), slice("b", HTTP, 3)],
    { create: [], update: ["a 80: 2 5"], remove: [] },
  ],
  [
    "a slice without endpoints goes",
    [wanted(HTTP, 1)],
    [slice("a", HTTP, 1), slice("b", HTTP, 2)],
    { create: [], update: [], remove: ["b"] },
  ],
  ["other ports, other slices", [wanted(HTTP, 1), wanted(ALT, 2)], [], { create: ["80: 1", "8080: 2"], update: [], remove: [] }],
  [
    "changed ports change the slice in place",
    [wanted(ALT, 1, 2)],
    [slice("a", HTTP, 1, 2)],
    { create: [], update: ["a 8080: 1 2"], remove: [] },
  ],
];

for (const [name, groups, existing, expected] of CASES) {
  test(`packing: ${name}`, () => assert.deepEqual(plan(groups, existing), expected));
}

test("a changed endpoint keeps its place", () => {
  const { update } = packSlices([{ ports: HTTP, endpoints: [endpoint(1), endpoint(2, false)] }], [slice("a", HTTP, 1, 2)]);
  assert.deepEqual(
    update.get("a")?.endpoints.map((e) => e.conditions?.ready),
    [true, false],
  );
});

test("the order of ports does not matter", () => {
  const dns: EndpointPort = { name: "dns", port: 53, protocol: "UDP" };
  assert.equal(portsKey([...HTTP, dns]), portsKey([dns, ...HTTP]));
});

const MAX = 4;
const world = fc.array(fc.record({ n: fc.nat(30), alt: fc.boolean(), ready: fc.boolean() }), { maxLength: 25 }).map((pods) => {
  const entries = new Map(pods.map(({ n, alt, ready }) => [n, { ports: alt ? ALT : HTTP, endpoint: endpoint(n, ready) }]));
  return [...entries.values()];
});

/** The slices after the plan was carried out. */
function apply(groups: ReturnType<typeof groupByPorts>, existing: ExistingSlice[], nextId: () => string): ExistingSlice[] {
  const { create, update, remove } = packSlices(groups, existing, MAX);
  for (const id of remove) assert.ok(!update.has(id));
  const kept = existing.filter((s) => !remove.includes(s.id)).map((s) => ({ ...s, ...update.get(s.id) }));
  return [...kept, ...create.map((packed) => ({ ...packed, id: nextId() }))];
}

test("through any history: every endpoint once, with its ports, in slices that are not too big; a second look changes nothing", () => {
  fc.assert(
    fc.property(fc.array(world, { minLength: 1, maxLength: 6 }), (history) => {
      let slices: ExistingSlice[] = [];
      let id = 0;
      for (const entries of history) {
        const groups = groupByPorts(entries);
        slices = apply(groups, slices, () => `s${id++}`);
        const shown = slices.flatMap((s) => s.endpoints.map((e) => JSON.stringify([s.ports, e]))).sort();
        assert.deepEqual(shown, entries.map((e) => JSON.stringify([e.ports, e.endpoint])).sort());
        assert.ok(slices.every((s) => s.endpoints.length <= MAX));
        assert.ok(entries.length === 0 ? slices.length === 1 : slices.every((s) => s.endpoints.length > 0));
        const again = packSlices(groups, slices, MAX);
        assert.deepEqual([again.create.length, again.update.size, again.remove.length], [0, 0, 0]);
      }
    }),
  );
});

test("one pod more or less is one slice touched", () => {
  fc.assert(
    fc.property(world, fc.nat(30), (entries, n) => {
      let id = 0;
      const slices = apply(groupByPorts(entries), [], () => `s${id++}`);
      const without = entries.filter((e) => e.endpoint.targetRef?.uid !== `pod-${n}`);
      const less = packSlices(groupByPorts(without), slices, MAX);
      assert.ok(less.create.length + less.update.size + less.remove.length <= 1);
      const more = packSlices(groupByPorts([...entries, { ports: HTTP, endpoint: endpoint(99) }]), slices, MAX);
      assert.equal(more.create.length + more.update.size + more.remove.length, 1);
    }),
  );
});
