import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { formatAddr, parseAddr, parsePrefix } from "#ip";
import { applyStep, heldBy, planAdd, planDel, planGc } from "./allocate.ts";
import { rangeOf } from "./range.ts";
import type { IpamState, IpamStep, Owner } from "./types.ts";

type Op =
  /** `steps`: how many steps of the plan are done before the process dies; nothing is lost but what was not yet done. */
  | { readonly op: "add" | "del"; readonly id: number; readonly crashAfter: number }
  | { readonly op: "gc"; readonly ids: number[]; readonly crashAfter: number };

const CRASH = fc.oneof(fc.constant(99), fc.integer({ min: 0, max: 5 }));
const OPS: fc.Arbitrary<Op[]> = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: fc.record({ op: fc.constant("add" as const), id: fc.nat(14), crashAfter: CRASH }) },
    { weight: 3, arbitrary: fc.record({ op: fc.constant("del" as const), id: fc.nat(14), crashAfter: CRASH }) },
    { weight: 1, arbitrary: fc.record({ op: fc.constant("gc" as const), ids: fc.array(fc.nat(14)), crashAfter: CRASH }) },
  ),
  { maxLength: 60 },
);

const owner = (id: number): Owner => ({ containerId: `c${id}`, ifName: "eth0" });

function emptyState(...podCidrs: string[]): IpamState {
  return { ranges: podCidrs.map((text) => rangeOf(parsePrefix(text))), leases: new Map(), cursors: new Map() };
}

function plan(state: IpamState, op: Op): IpamStep[] {
  if (op.op === "del") return planDel(state, owner(op.id));
  if (op.op === "gc") return planGc(state, op.ids.map(owner));
  try {
    return planAdd(state, owner(op.id)).steps;
  } catch {
    return [];
  }
}

test("no address has two owners and none is lost, whatever happens and wherever it breaks off", () => {
  fc.assert(
    fc.property(OPS, (ops) => {
      // 13 usable IPv4 addresses for 15 owners: exhaustion happens too.
      const state = emptyState("10.244.1.0/28", "fd00:10:244:1::/124");
      for (const op of ops) {
        for (const step of plan(state, op).slice(0, op.crashAfter)) {
          if (step.step === "hold") assert.ok(!state.leases.has(formatAddr(step.lease.addr)), "held twice");
          applyStep(state, step);
        }
        for (const lease of state.leases.values()) assert.ok(!["10.244.1.0", "10.244.1.1", "10.244.1.15"].includes(formatAddr(lease.addr)));
      }
      // After the crash: whoever is alive asks again, the rest is collected; then exactly the living hold one address per family.
      const living = [0, 1, 2].map(owner);
      for (const step of planGc(state, living)) applyStep(state, step);
      for (const one of living) {
        const { addrs, steps } = planAdd(state, one);
        for (const step of steps) applyStep(state, step);
        assert.deepEqual(
          heldBy(state, one)
            .map((lease) => formatAddr(lease.addr))
            .sort(),
          addrs.map(formatAddr).sort(),
        );
        assert.equal(addrs.length, 2);
      }
      assert.equal(state.leases.size, 6);
      for (const one of living) for (const step of planDel(state, one)) applyStep(state, step);
      assert.equal(state.leases.size, 0);
    }),
    { numRuns: 300 },
  );
});

test("an address that was given back is given out again only after all others", () => {
  const state = emptyState("10.244.1.0/28");
  const order: string[] = [];
  for (let i = 0; i < 13; i++) {
    const { addrs, steps } = planAdd(state, owner(i));
    for (const step of [...steps, ...planDelAfter(state, steps, owner(i))]) applyStep(state, step);
    order.push(...addrs.map(formatAddr));
  }
  assert.equal(new Set(order).size, 13);
  assert.deepEqual(planAdd(state, owner(99)).addrs.map(formatAddr), order.slice(0, 1));
});

function planDelAfter(state: IpamState, steps: readonly IpamStep[], one: Owner): IpamStep[] {
  const copy: IpamState = { ranges: state.ranges, leases: new Map(state.leases), cursors: new Map(state.cursors) };
  for (const step of steps) applyStep(copy, step);
  return planDel(copy, one);
}

test("an owner keeps its addresses, and completes what broke off after the first family", () => {
  const state = emptyState("10.244.1.0/24", "fd00:10:244:1::/64");
  const { addrs, steps } = planAdd(state, owner(1));
  assert.deepEqual(addrs.map(formatAddr), ["10.244.1.2", "fd00:10:244:1::2"]);
  for (const step of steps.slice(0, 2)) applyStep(state, step);
  assert.deepEqual(planAdd(state, owner(1)).addrs, addrs);
  for (const step of planAdd(state, owner(1)).steps) applyStep(state, step);
  assert.deepEqual(planAdd(state, owner(1)), { addrs, steps: [] });
});

test("the last address of an IPv6 range is followed by its first, and IPv4's broadcast address is not given out", () => {
  const state = emptyState("10.244.1.0/29", "fd00::/64");
  const [four, six] = state.ranges;
  assert.equal(four && formatAddr(four.last), "10.244.1.6");
  assert.equal(six && formatAddr(six.last), "fd00::ffff:ffff:ffff:ffff");
  state.cursors.set("fd00::_64", parseAddr("fd00::ffff:ffff:ffff:ffff"));
  assert.deepEqual(planAdd(state, owner(1)).addrs.map(formatAddr), ["10.244.1.2", "fd00::2"]);
});

test("an exhausted range says so and holds nothing of the other family", () => {
  const state = emptyState("fd00::/64", "10.244.1.0/30");
  for (const step of planAdd(state, owner(1)).steps) applyStep(state, step);
  assert.throws(() => planAdd(state, owner(2)), {
    code: "AddressesExhausted",
    message: /all pod addresses of 10\.244\.1\.0\/30 are in use/,
  });
  assert.equal(state.leases.size, 2);
});

test("a Pod CIDR without room for a pod is refused", () => {
  for (const text of ["10.244.1.0/31", "10.244.1.1/32", "fd00::/127"])
    assert.throws(() => rangeOf(parsePrefix(text)), { code: "PodCidrTooSmall" });
  assert.equal(formatAddr(rangeOf(parsePrefix("fd00::/126")).first), "fd00::2");
});
