// Everything a NetworkPolicy promises, with real packets: expected by the API's prose = foreseen by the model = done by the kernel.
import { spawnSync } from "node:child_process";
import { closeSync } from "node:fs";
import { parseArgs } from "node:util";
import { errorMessage } from "#base";
import { parseAddr } from "#ip";
import { listenFd, netns } from "#linux";
import { allCases, type Case, quickCases, upstreamCases } from "./cases.ts";
import { PolicyCluster } from "./cluster.ts";
import { expectation, judge, questions, type Verdict } from "./judge.ts";
import { makeNetwork } from "./kernel.ts";
import { DNS, networkState, type Protocol } from "./network.ts";
import { printCase, printHeader, printWrong } from "./print.ts";
import { Prober } from "./prober.ts";
import { SITUATIONS } from "./situations.ts";

const USAGE = `usage: npm run matrix:policies -- [options]
  --quick                          fewer combinations, in about a minute
  --protocols TCP,UDP,SCTP         which protocols (those that this kernel can do)
  --only TEXT                      only cases whose name contains TEXT
  --list                           the cases' names, and nothing else
  -o json                          what was wrong, and totals
  --help

In another kernel, where this one lacks SCTP:
  node_modules/.bin/node scripts/kernel/run.ts -- node_modules/.bin/node --liftoff-only matrix/policies/main.ts --protocols SCTP --quick`;

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    protocols: { type: "string" },
    only: { type: "string", default: "" },
    list: { type: "boolean", default: false },
    output: { type: "string", short: "o", default: "text" },
    help: { type: "boolean", default: false },
  },
});

function isWanted({ name }: Pick<Case, "name">): boolean {
  return name.includes(values.only);
}

if (values.help) {
  console.log(USAGE);
  process.exit(0);
}
const made = (values.quick ? quickCases() : allCases()).filter(isWanted);
const situations = SITUATIONS.filter(({ title }) => isWanted({ name: title }));
if (made.length + situations.length === 0) {
  console.error(`matrix: --only: no case's name contains "${values.only}"`);
  process.exit(2);
}
if (values.list) {
  for (const { title } of situations) console.log(`upstream ${title}`);
  for (const { name, direction } of made) console.log(`${direction.padEnd(8)} ${name}`);
  process.exit(0);
}
if (process.env["FAIRLEAD_MATRIX_NETNS"] !== "1") {
  const asUser = process.getuid?.() === 0 ? [] : ["--user", "--map-root-user"];
  const command = [...asUser, "--net", "--mount", "--", process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  const result = spawnSync("unshare", command, { stdio: "inherit", env: { ...process.env, FAIRLEAD_MATRIX_NETNS: "1" } });
  if (result.error !== undefined) throw result.error;
  process.exit(result.status ?? 1);
}

const KNOWN: readonly Protocol[] = ["TCP", "UDP", "SCTP"];
let skipped = 0;

function possibleProtocols(asked: string | undefined): Protocol[] {
  const wanted = asked?.split(",").map((part) => part.trim().toUpperCase()) ?? KNOWN;
  for (const name of wanted) {
    if (KNOWN.some((each) => each === name)) continue;
    console.error(`matrix: --protocols: "${name}" is not one of ${KNOWN.join(", ")}`);
    process.exit(2);
  }
  return KNOWN.filter((protocol) => {
    if (!wanted.includes(protocol) || protocol !== "SCTP") return wanted.includes(protocol);
    try {
      closeSync(listenFd(netns.current(), parseAddr("0.0.0.0"), 0, { protocol: "sctp" }));
      return true;
    } catch (err) {
      console.log(`# SCTP: skipped: ${errorMessage(err)}`);
      skipped++;
      if (asked !== undefined) process.exitCode = 1;
      return false;
    }
  });
}

interface Totals {
  passed: number;
  failed: number;
  states: number;
  questions: number;
  readonly wrong: { readonly case: string; readonly verdict: Verdict }[];
}

async function run(protocols: readonly Protocol[]): Promise<Totals> {
  const totals: Totals = { passed: 0, failed: 0, states: 0, questions: 0, wrong: [] };
  const namespaces = makeNetwork(networkState(protocols), DNS.key);
  const cluster = new PolicyCluster(namespaces);
  const prober = new Prober(namespaces, protocols);
  const asked = questions(protocols);
  try {
    await cluster.start();
    const one = async (each: Case): Promise<boolean> => {
      let isRight = true;
      for (const [i, given] of each.states.entries()) {
        await cluster.give(given);
        const { says } = given;
        const own = says === undefined ? asked : asked.filter((question) => says(question) !== undefined);
        const verdicts = await judge({ cluster, prober, protocols, asked: own, expected: expectation(given), says });
        const state = each.states.length === 1 ? "" : ` [${i + 1}/${each.states.length}]`;
        const wrong = verdicts.filter(({ ok }) => !ok);
        totals.states++;
        totals.questions += verdicts.length;
        totals.wrong.push(...wrong.map((verdict) => ({ case: `${each.name}${state}`, verdict })));
        if (values.output !== "json" && says === undefined) printCase(each, state, verdicts, protocols);
        if (wrong.length > 0 && values.output !== "json") printWrong(each, state, verdicts);
        isRight &&= wrong.length === 0;
      }
      return isRight;
    };
    for (const each of [...upstreamCases(protocols).filter(isWanted), ...made]) {
      const isRight = await one(each);
      if (isRight) totals.passed++;
      else totals.failed++;
      if (values.output !== "json" && each.states[0]?.says !== undefined)
        console.log(`${isRight ? "passed" : "FAILED"}  upstream: ${each.name}`);
    }
  } finally {
    prober.close();
    await cluster.close();
    for (const ns of namespaces.values()) ns.close();
  }
  return totals;
}

const startedAt = performance.now();
const protocols = possibleProtocols(values.protocols);
if (protocols.length === 0) {
  console.error("matrix: this kernel can do nothing of what was asked for");
  process.exit(1);
}
skipped += situations.length - upstreamCases(protocols).filter(isWanted).length;
if (values.output !== "json") printHeader(protocols);
const totals = await run(protocols);
if (values.output === "json") console.log(JSON.stringify({ cases: totals.passed + totals.failed, ...totals }, null, 2));
else {
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(0);
  console.log(
    `\n${totals.passed + totals.failed} cases, ${totals.states} states of policies, ${totals.questions} connections in ${seconds} s`,
  );
  console.log(`${totals.passed} passed, ${totals.failed} failed, ${skipped} skipped`);
}
process.exit(totals.failed > 0 ? 1 : process.exitCode);
