// Runs the sig-network conformance tests against a cluster that `./fairlead up` makes. See README.md.
import { parseArgs } from "node:util";
import { errorMessage } from "#base";
import { formatReport, formatTotals } from "./report.ts";
import { runAll } from "./run.ts";
import { TESTS } from "./tests/index.ts";
import { NETWORK_POLICIES_TESTS } from "./tests/network-policies.ts";
import { TITLES } from "./titles.ts";
import type { Outcome } from "./types.ts";

const HELP = `usage: npm run conformance -- [OPTIONS]

Runs the sig-network conformance tests of Kubernetes, written anew, against a cluster of its own, and prints what each came to.

  --only TEXT      only the tests whose title contains TEXT
  --jobs N         how many run at the same time (4)
  --nodes N        nodes of the cluster, two at least (2)
  --ip-family F    of pods and Services: ipv4, ipv6 or dual, as of ./fairlead up (dual, where IPv4 is the first)
  --proxy-mode M   how its nodes make Services, as of ./fairlead up (nftables)
  --overlay B      how pod traffic crosses between its nodes, as of ./fairlead up (vxlan)
  -o, --output F   text or json
  --list           print the titles and run nothing
  -h, --help       this text

Exit code: 0 when none failed, 1 when one failed, 2 for a wrong command line.
`;

const OPTIONS = {
  only: { type: "string", default: "" },
  jobs: { type: "string", default: "4" },
  nodes: { type: "string", default: "2" },
  "ip-family": { type: "string", default: "dual" },
  "proxy-mode": { type: "string", default: "nftables" },
  overlay: { type: "string", default: "vxlan" },
  output: { type: "string", short: "o", default: "text" },
  list: { type: "boolean", default: false },
  help: { type: "boolean", short: "h", default: false },
} as const;

function usageError(message: string): never {
  console.error(`conformance: ${message}\n\n${HELP}`);
  process.exit(2);
}

function readArgs(): ReturnType<typeof parseArgs<{ options: typeof OPTIONS }>>["values"] {
  try {
    return parseArgs({ options: OPTIONS }).values;
  } catch (err) {
    usageError(errorMessage(err));
  }
}

function wholeNumber(name: string, text: string, least: number): number {
  if (!/^\d+$/.test(text) || Number(text) < least) usageError(`--${name} must be a whole number from ${least} on, not "${text}"`);
  return Number(text);
}

const values = readArgs();
if (values.help) {
  process.stdout.write(HELP);
  process.exit(0);
}
if (values.output !== "text" && values.output !== "json") usageError(`--output must be text or json, not "${values.output}"`);
const tests = [...TITLES.flatMap((title) => TESTS.find((test) => test.title === title) ?? []), ...NETWORK_POLICIES_TESTS].filter((test) =>
  test.title.includes(values.only),
);
if (tests.length === 0) usageError(`no title contains "${values.only}"; --list prints all`);
if (values.list) {
  process.stdout.write(`${tests.map((test) => test.title).join("\n")}\n`);
  process.exit(0);
}
const jobs = wholeNumber("jobs", values.jobs, 1);
wholeNumber("nodes", values.nodes, 2);
const outcomes = await runTests();
if (values.output === "json") console.log(JSON.stringify({ summary: formatTotals(outcomes), tests: outcomes }, null, 2));
else console.log(`\n${formatReport(outcomes)}`);
process.exit(outcomes.some((outcome) => outcome.result === "failed") ? 1 : 0);

async function runTests(): Promise<Outcome[]> {
  try {
    return await runAll(tests, {
      jobs,
      flags: ["nodes", "ip-family", "proxy-mode", "overlay"].flatMap((name) => [`--${name}`, String(values[name as keyof typeof values])]),
      progress: (text) => process.stderr.write(`${text}\n`),
    });
  } catch (err) {
    console.error(`conformance: ${errorMessage(err).trim()}`);
    process.exit(1);
  }
}
