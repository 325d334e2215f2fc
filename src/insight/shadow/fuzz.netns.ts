// A little of `npm run fuzz -- --kernel`, with other clusters each time.
import assert from "node:assert/strict";
import { test } from "node:test";
import { formatAddrPort } from "#ip";
import { probeKernel } from "./testing/fuzz/kernel.ts";

const PROBES = 1000;

for (const overlay of ["vxlan", "host-gw"] as const) {
  test(`random clusters and packets over ${overlay}: the model foresees what the kernel does`, async (t) => {
    const seed = Number(process.env["FAIRLEAD_TEST_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
    t.diagnostic(`FAIRLEAD_TEST_SEED=${seed}`);
    const { found } = await probeKernel(seed, overlay, ({ probes }) => probes < PROBES);
    if (found === undefined) return;
    const { question, model, observed } = found;
    const to = formatAddrPort(question.dst, question.dstPort ?? 0);
    const again = `npm run fuzz -- --kernel 1 --overlay ${overlay} --seed ${found.seed}`;
    assert.fail(`${question.from} to ${to}: the model says ${model.join(" or ")}, the kernel ${observed}; ${again}`);
  });
}
