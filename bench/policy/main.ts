// NetworkPolicy at size: how long a change of an object takes to reach the kernel; what a packet pays; whether a pod is isolated before its first
// instruction.
// usage: npm run bench policy -- [--policies 100,1000,5000] [--pods 110] [--peers 1000] [--changes 50] [--packets 20000] [--births 10] [--json]
import { spawnSync } from "node:child_process";
import { parseArgs } from "node:util";
import { type BirthResult, measureBirth } from "./birth.ts";
import type { PacketResult } from "./packets.ts";
import type { ProgrammingResult } from "./programming.ts";

const { values } = parseArgs({
  options: {
    policies: { type: "string", default: "100,1000,5000" },
    pods: { type: "string", default: "110" },
    peers: { type: "string", default: "1000" },
    changes: { type: "string", default: "50" },
    packets: { type: "string", default: "20000" },
    births: { type: "string", default: "10" },
    json: { type: "boolean", default: false },
  },
});

/** As the agent is run. */
const FLAGS = ["--max-semi-space-size=2"];

const { policies, pods, peers, changes, packets, births } = values;
const programming = policies.split(",").map((count) => run<ProgrammingResult>("programming.ts", [count, pods, peers, changes]));
const perPacket = run<readonly PacketResult[]>("packets.ts", [`0,${policies}`, packets]);
const birth = Number(births) === 0 ? undefined : await measureBirth(Number(births));
if (values.json) console.log(JSON.stringify({ programming, perPacket, birth }, null, 2));
else {
  printProgramming(programming);
  printPackets(perPacket);
  if (birth !== undefined) printBirth(birth);
}

function run<T>(script: string, args: readonly string[]): T {
  process.stderr.write(`# ${script} ${args.join(" ")} …\n`);
  const isRoot = process.getuid?.() === 0;
  const enter = [...(isRoot ? [] : ["--user", "--map-root-user"]), "--net", "--mount", "--"];
  const path = new URL(script, import.meta.url).pathname;
  const { status, stdout, error } = spawnSync("unshare", [...enter, process.execPath, ...FLAGS, path, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
    encoding: "utf8",
  });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${script} ended with status ${status}`);
  return JSON.parse(stdout) as T;
}

function row(name: string, cells: readonly string[]): void {
  console.log(name.padEnd(52) + cells.map((cell) => cell.padStart(13)).join(""));
}

function printProgramming(all: readonly ProgrammingResult[]): void {
  const of = (name: string, cell: (result: ProgrammingResult) => string): void => row(name, all.map(cell));
  const ms = (value: number): string => `${value.toFixed(2)} ms`;
  of(`policies (${pods} pods here, ${peers} peers)`, (result) => String(result.policies));
  of("elements that follow pods", ({ elements }) => String(elements));
  of("the first table, all of it", ({ firstMs }) => ms(firstMs));
  of("a new agent adopts what is there", ({ adoptMs }) => ms(adoptMs));
  for (const kind of Object.keys(all[0]?.changeMs ?? {})) {
    for (const p of ["p50", "p99"] as const) of(`${kind}: to the kernel, ${p}`, ({ changeMs }) => ms(changeMs[kind]?.[p] ?? Number.NaN));
  }
}

function printPackets(all: readonly PacketResult[]): void {
  const [without] = all;
  row(
    "a packet from pod to pod",
    all.map((result) => (result.policies === undefined ? "no table" : `${result.policies} policies`)),
  );
  row(
    "  best round",
    all.map(({ bestNs }) => `${(bestNs / 1000).toFixed(2)} us`),
  );
  row(
    "  beside no table",
    all.map(({ bestNs }) => `${(bestNs / (without?.bestNs ?? Number.NaN)).toFixed(2)} times`),
  );
  row(
    "  beside no table, the middle rounds",
    all.map(({ medianNs }) => `${(medianNs / (without?.medianNs ?? Number.NaN)).toFixed(2)} times`),
  );
}

function printBirth({ pods: born, attempts, connected, isolatedMs, freeMs }: BirthResult): void {
  console.log(`${born} pods that connect at once, and may go nowhere: ${connected} of ${attempts} attempts got through`);
  console.log(`  from creation to the container's start: ${isolatedMs.toFixed(0)} ms, without a policy ${freeMs.toFixed(0)} ms`);
}
