// Random clusters and random packets: what the model foresees against what is promised, and against what a kernel does.
import { spawnSync } from "node:child_process";
import { parseArgs } from "node:util";
import { stringify } from "yaml";
import { formatAddrPort } from "#ip";
import { formatRoundTrip, prepareNetwork, type Question, roundTrips } from "#model";
import { createShadow, type ShadowObjects } from "#shadow";
import { type Setting, shrink } from "../src/insight/shadow/testing/fuzz/compare.ts";
import { type KernelProgress, probeKernel } from "../src/insight/shadow/testing/fuzz/kernel.ts";
import { comparePairs, type Found, type Progress } from "../src/insight/shadow/testing/fuzz/pairs.ts";

const USAGE = `usage: npm run fuzz -- [options]
  --pairs N      pairs of a cluster and a packet, model against reference (default 20000)
  --kernel N     probes of a kernel instead, against the model: the clusters' tables in real namespaces, packets of real sockets
  --overlay O    vxlan (default) or host-gw, for --kernel
  --minutes M    stop after so many minutes, whatever is left
  --seed S       begin with this seed (default: another one each time)
  --help`;

const { values } = parseArgs({
  options: {
    pairs: { type: "string", default: "20000" },
    kernel: { type: "string" },
    overlay: { type: "string", default: "vxlan" },
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

/** The objects, the question, and how the model comes to what it says. */
function show(objects: ShadowObjects, setting: Setting, question: Question): void {
  const { nodes, namespaces, pods, services, endpointSlices, networkPolicies, clusterNetworkPolicies = [] } = objects;
  const lists = [nodes, namespaces, pods, services, endpointSlices, networkPolicies, clusterNetworkPolicies];
  console.log(
    lists
      .flat()
      .map((object) => stringify(object))
      .join("---\n"),
  );
  const network = prepareNetwork(createShadow(setting.options).network(objects));
  for (const { result } of roundTrips(network, question)) console.log(formatRoundTrip(result));
  const to = formatAddrPort(question.dst, question.dstPort ?? 0);
  console.log(`\n${question.from} to ${to}, protocol ${question.protocol}, overlay ${setting.overlay}:`);
}

function tell({ objects, setting, disagreement, seed: own }: Found): void {
  const { question, model, expected } = disagreement;
  show(shrink(objects, setting, question), setting, question);
  console.log(`  the model says ${model.join(" or ")}\n  expected is    ${expected.join(" or ")}\nagain: npm run fuzz -- --seed ${own}`);
}

/** Namespaces are made in one of our own, as far as we may. */
function enterOwnNamespace(): void {
  if (process.env["FAIRLEAD_FUZZ_NETNS"] === "1") return;
  const user = process.getuid?.() === 0 ? [] : ["--user", "--map-root-user"];
  const command = [...user, "--net", "--mount", "--", process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  const result = spawnSync("unshare", command, { stdio: "inherit", env: { ...process.env, FAIRLEAD_FUZZ_NETNS: "1" } });
  if (result.error !== undefined) throw result.error;
  process.exit(result.status ?? 1);
}

let told = begun;
/** Now and then. */
function report(text: () => string): void {
  if (performance.now() - told < REPORT_MS) return;
  told = performance.now();
  console.log(text());
}

function runPairs(): boolean {
  const wanted = numberOf("pairs", values.pairs);
  const result = comparePairs(seed, (progress) => {
    report(() => line(progress));
    return progress.pairs < wanted && performance.now() < endMs;
  });
  console.log(line(result));
  if (result.found !== undefined) tell(result.found);
  return result.found === undefined;
}

function kernelLine({ probes, clusters, askedAgain, answered }: KernelProgress): string {
  const rate = Math.round(probes / seconds());
  return `${probes} probes, ${clusters} clusters, ${seconds().toFixed(0)} s, ${rate} a second; answered ${answered}, asked again ${askedAgain}`;
}

async function runKernel(wanted: number): Promise<boolean> {
  const overlay = values.overlay === "host-gw" ? "host-gw" : "vxlan";
  const result = await probeKernel(seed, overlay, (progress) => {
    report(() => kernelLine(progress));
    return progress.probes < wanted && performance.now() < endMs;
  });
  console.log(kernelLine(result));
  const { found } = result;
  if (found === undefined) return true;
  const { objects, setting, question, model, observed } = found;
  show(objects, setting, question);
  console.log(
    `  the model says ${model.join(" or ")}\n  the kernel     ${observed}\nagain: npm run fuzz -- --kernel 1 --overlay ${overlay} --seed ${found.seed}`,
  );
  return false;
}

if (values.kernel !== undefined) enterOwnNamespace();
console.log(`seed ${seed}`);
const agreed = values.kernel === undefined ? runPairs() : await runKernel(numberOf("kernel", values.kernel));
console.log(agreed ? "no disagreement" : "a disagreement");
process.exit(agreed ? 0 : 1);
