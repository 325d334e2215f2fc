// Everything a Service promises, with real packets: each feature x family x protocol x who asks, in one mode after the other.

import { spawnSync } from "node:child_process";
import { closeSync } from "node:fs";
import { parseArgs } from "node:util";
import { errorMessage } from "#base";
import { type Family, parseAddr } from "#ip";
import { listenFd, netns } from "#linux";
import { checkMode, PROXY_MODES, type ProxyMode } from "#proxy";
import { FEATURES, type Feature, type Given } from "./features.ts";
import { type Cell, judge } from "./judge.ts";
import { serviceOf, slicesOf } from "./objects.ts";
import type { Protocol } from "./peers.ts";
import { printMatrix, printSummary } from "./print.ts";
import { Topology } from "./topology.ts";

const USAGE = `usage: npm run matrix:services -- [options]
  --modes nftables,iptables,ipvs   which modes (those that this kernel can do)
  --protocols TCP,UDP,SCTP         which protocols (those that this kernel can do)
  --only TEXT                      only features whose name contains TEXT
  -o json                          every cell
  --help

In another kernel, where this one lacks IPVS or SCTP:
  node_modules/.bin/node scripts/kernel/run.ts -- node_modules/.bin/node matrix/services/main.ts --modes ipvs`;

const { values } = parseArgs({
  options: {
    modes: { type: "string" },
    protocols: { type: "string" },
    only: { type: "string", default: "" },
    output: { type: "string", short: "o", default: "text" },
    help: { type: "boolean", default: false },
  },
});

if (values.help) {
  console.log(USAGE);
  process.exit(0);
}
if (process.env["FAIRLEAD_MATRIX_NETNS"] !== "1") {
  const isRoot = process.getuid?.() === 0;
  const command = [
    ...(isRoot ? [] : ["--user", "--map-root-user"]),
    "--net",
    "--mount",
    "--",
    process.execPath,
    ...process.execArgv,
    ...process.argv.slice(1),
  ];
  const result = spawnSync("unshare", command, { stdio: "inherit", env: { ...process.env, FAIRLEAD_MATRIX_NETNS: "1" } });
  if (result.error !== undefined) throw result.error;
  process.exit(result.status ?? 1);
}

function listed<T extends string>(flag: string, text: string | undefined, known: readonly T[]): readonly T[] | undefined {
  return text?.split(",").map((part) => {
    const found = known.find((each) => each.toLowerCase() === part.trim().toLowerCase());
    if (found === undefined) {
      console.error(`matrix: ${flag}: "${part}" is not one of ${known.join(", ")}`);
      process.exit(2);
    }
    return found;
  });
}

function possibleModes(asked: readonly ProxyMode[] | undefined): ProxyMode[] {
  return (asked ?? PROXY_MODES).filter((mode) => {
    try {
      checkMode(mode);
      return true;
    } catch (err) {
      console.log(`# ${mode}: skipped: ${errorMessage(err)}`);
      if (asked !== undefined) process.exitCode = 1;
      return false;
    }
  });
}

function possibleProtocols(asked: readonly Protocol[] | undefined): Protocol[] {
  return (asked ?? (["TCP", "UDP", "SCTP"] as const)).filter((protocol) => {
    if (protocol !== "SCTP") return true;
    try {
      closeSync(listenFd(netns.current(), parseAddr("0.0.0.0"), 0, { protocol: "sctp" }));
      return true;
    } catch (err) {
      console.log(`# SCTP: skipped: ${errorMessage(err)}`);
      if (asked !== undefined) process.exitCode = 1;
      return false;
    }
  });
}

const FAMILIES: readonly Family[] = [4, 6];

/** One Service per family and feature, all of them there at once; then all changes at once. */
async function measure(mode: ProxyMode, protocols: readonly Protocol[], features: readonly Feature[]): Promise<Cell[]> {
  const topology = new Topology();
  const cells: Cell[] = [];
  try {
    topology.serve(protocols);
    await topology.start(mode);
    const places = features.flatMap((feature, i) => FAMILIES.map((family) => ({ feature, place: { n: i + 1, family } })));
    const give = async (which: (feature: Feature) => Given | undefined): Promise<void> => {
      for (const { feature, place } of places) {
        const given = which(feature);
        if (given !== undefined) topology.set(serviceOf(given, place, protocols), slicesOf(given, place, protocols));
      }
      await topology.settled();
    };
    const askAll = async (asksOf: (feature: Feature) => Feature["asks"], suffix: string): Promise<void> => {
      for (const { feature, place } of places) {
        for (const ask of asksOf(feature)) {
          const row = `${feature.name}${suffix}`;
          cells.push(...(await judge({ topology, mode, row, ask, place, protocols })));
        }
      }
    };
    await give(({ given }) => given);
    await askAll(({ asks }) => asks, "");
    await give(({ afterwards }) => afterwards?.given);
    await askAll(({ afterwards }) => afterwards?.asks ?? [], ": after");
  } finally {
    topology.close();
  }
  return cells;
}

const modes = possibleModes(listed("--modes", values.modes, PROXY_MODES));
const protocols = possibleProtocols(listed("--protocols", values.protocols, ["TCP", "UDP", "SCTP"] as const));
const features = FEATURES.filter(({ name }) => name.includes(values.only));
if (features.length === 0) {
  console.error(`matrix: --only: no feature's name contains "${values.only}"`);
  process.exit(2);
}
if (protocols.length === 0 || modes.length === 0) {
  console.error("matrix: this kernel can do nothing of what was asked for");
  process.exit(1);
}
const cells: Cell[] = [];
for (const mode of modes) {
  process.stderr.write(`# ${mode}: ${features.length} features …\n`);
  const found = await measure(mode, protocols, features);
  if (values.output !== "json") printMatrix(mode, found, protocols);
  cells.push(...found);
}
if (values.output === "json") console.log(JSON.stringify(cells, null, 2));
else printSummary(cells);
const wrong = cells.some(({ ok }) => !ok);
process.exit(wrong ? 1 : process.exitCode);
