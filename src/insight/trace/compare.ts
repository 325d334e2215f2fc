// Where what should happen and what did are two things, and what explains it. Pure.
import type { TraceSighting } from "#observe";
import { isOwnTable } from "./diagnose.ts";
import { list } from "./question.ts";
import type { Observed, Predicted, Scene } from "./types.ts";

/** Tables that observing itself makes. */
const ARM_TABLES = /^fairlead-trace-/;

export function differences(scene: Scene, predicted: Predicted, observed: Observed): string[] {
  const said: string[] = [];
  const foreseen = predicted.cause?.code;
  const found = observed.cause?.code;
  const isVerdict = predicted.verdict === observed.verdict || predicted.verdict === "depends";
  if (!isVerdict && !(foreseen === "mtu" && found === "mtu")) {
    said.push(`predicted ${predicted.verdict}, observed ${observed.verdict}`);
  } else if (foreseen !== found && (foreseen !== undefined || found !== undefined) && predicted.verdict !== "depends") {
    said.push(`predicted cause: ${predicted.cause?.sentence ?? "none"}; observed: ${observed.cause?.sentence ?? "none"}`);
  }
  if (said.length > 0) said.push(...foreignRules(observed), ...unread(scene));
  if (predicted.verdict === "allowed" && observed.verdict === "allowed") said.push(...unseen(predicted, observed));
  return said;
}

/** What is not ours and had a say. */
function foreignRules({ sightings }: Observed): string[] {
  const rules = sightings.filter((one): one is TraceSighting => one.kind === "trace" && one.step === "rule");
  const foreign = rules.filter(({ family, table }) => !ARM_TABLES.test(table) && !isOwnTable({ table: `${family} ${table}` }));
  const texts = foreign.map(
    ({ namespace, family, table, chain, rule, comment, handle, verdict }) =>
      `table ${family} ${table}, chain ${chain}, of ${namespace}, not Fairlead's: ${rule ?? comment ?? `rule with handle ${handle ?? "?"}`} (${verdict})`,
  );
  return [...new Set(texts)];
}

function unread({ reports }: Scene): string[] {
  return reports.flatMap(({ node, problems }) => problems.map((problem) => `not read on ${node}: ${problem}`));
}

/** Links that the likeliest way passes, and where nothing was seen although something was elsewhere. */
function unseen({ ways }: Predicted, { points, problems }: Observed): string[] {
  const [way] = ways;
  if (way === undefined || ways.length > 1 || points.length === 0 || problems.length > 0) return [];
  const watched = new Set(points.map(({ namespace }) => namespace));
  const missing = way.roundTrip.request.hops.flatMap(({ namespace, linkIn, linkOut }) =>
    [linkIn, linkOut].flatMap((link) => {
      if (link === undefined || link === "lo" || !watched.has(namespace)) return [];
      return points.some((point) => point.namespace === namespace && point.link === link) ? [] : `${link} of ${namespace}`;
    }),
  );
  return missing.length === 0 ? [] : [`predicted to pass ${list(missing)}, not seen there`];
}
