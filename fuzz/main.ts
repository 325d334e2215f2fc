// Random clusters and random packets: what the model foresees against what is promised, and against what a kernel does.
import { parseArgs } from "node:util";
import { stringify } from "yaml";
import { formatAddrPort } from "#ip";
import { formatRoundTrip, prepareNetwork, roundTrips } from "#model";
import { createShadow } from "#shadow";
import { shrink } from "../src/insight/shadow/testing/fuzz/compare.ts";
import { comparePairs, type Found, type Progress } from "../src/insight/shadow/testing/fuzz/pairs.ts";

const USAGE = `usage: npm run fuzz -- [options]
  --pairs N      pairs of a cluster and a packet, model against reference (default 20000)
  --minutes M    stop after so many minutes, whatever is left
  --seed S       begin with this seed (default: another one each time)
  --help`;

const { values } = parseArgs({
  options: {
    pairs: { type: "string", default: "20000" },
    minutes: { type: "string", default: "1000000" },
    seed: { type: "string" },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  console.log(USAGE);
  process.exit(0);
}

function numberOf(flag: string, text: string): number {
  const number = Number(text);
  if (Number.isFinite(number) && number >= 0) return number;
  console.error(`--${flag}: "${text}" is not a number\n${USAGE}`);
  process.exit(2);
}

const REPORT_MS = 10_000;
const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : numberOf("seed", values.seed);
const begun = performance.now();
const endMs = begun + numberOf("minutes", values.minutes) * 60_000;
const seconds = (): number => (performance.now() - begun) / 1000;

function line({ pairs, clusters, outcomes }: Progress): string {
  const kinds = Object.entries(outcomes).map(([kind, count]) => `${kind} ${Math.round((100 * count) / pairs)} %`);
  return `${pairs} pairs, ${clusters} clusters, ${seconds().toFixed(0)} s, ${Math.round(pairs / seconds())} a second; ${kinds.sort().join(", ")}`;
}

function tell({ objects, setting, disagreement, seed: own }: Found): void {
  const { question, model, expected } = disagreement;
  const small = shrink(objects, setting, question);
  const lists = [small.nodes, small.namespaces, small.pods, small.services, small.endpointSlices, small.networkPolicies];
  console.log(lists.flat().map((object) => stringify(object)).join("---\n"));
  const network = prepareNetwork(createShadow(setting.options).network(small));
  for (const { result } of roundTrips(network, question)) console.log(formatRoundTrip(result));
  const to = formatAddrPort(question.dst, question.dstPort ?? 0);
  console.log(`\n${question.from} to ${to}, protocol ${question.protocol}, overlay ${setting.overlay}:`);
  console.log(`  the model says ${model.join(" or ")}\n  expected is    ${expected.join(" or ")}\nagain: npm run fuzz -- --seed ${own}`);
}

const wanted = numberOf("pairs", values.pairs);
console.log(`seed ${seed}`);
let told = begun;
const result = comparePairs(seed, (progress) => {
  if (performance.now() - told > REPORT_MS) {
    told = performance.now();
    console.log(line(progress));
  }
  return progress.pairs < wanted && performance.now() < endMs;
});
console.log(line(result));
if (result.found !== undefined) {
  tell(result.found);
  process.exit(1);
}
console.log("no disagreement");
