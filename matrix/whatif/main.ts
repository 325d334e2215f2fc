// What `what-if` foresees, against what real packets meet after each of many random changes of a cluster of two nodes.
import { parseArgs } from "node:util";
import { MatrixCluster } from "./cluster.ts";
import { answerOrders } from "./prober.ts";
import { runChanges } from "./run.ts";

const USAGE = `usage: npm run matrix:whatif -- [options]
  --changes N    how many changes, one after the other (200)
  --seed N       the same seed makes the same changes (1)
  -o json        what was wrong, and totals
  --help`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    changes: { type: "string", default: "200" },
    seed: { type: "string", default: "1" },
    output: { type: "string", short: "o", default: "text" },
    help: { type: "boolean", default: false },
  },
});
const [role, files = ""] = positionals;
if (role === "prober") {
  await answerOrders(files);
  process.exit(0);
}
if (values.help) {
  console.log(USAGE);
  process.exit(0);
}
for (const flag of ["changes", "seed"] as const) {
  if (/^\d{1,9}$/.test(values[flag])) continue;
  console.error(`matrix: --${flag}: "${values[flag]}" is not a number`);
  process.exit(2);
}
const startedAt = Date.now();
const isText = values.output !== "json";
await using matrix = await MatrixCluster.start();
const result = await runChanges({
  matrix,
  changes: Number(values.changes),
  seed: Number(values.seed),
  ...(isText && { log: (text: string) => console.log(text) }),
});
if (!isText) console.log(JSON.stringify(result, null, 2));
else {
  for (const text of result.wrong) console.log(`✗ ${text}`);
  const { changes, cells, effective, changedCells, wrong } = result;
  const seconds = ((Date.now() - startedAt) / 1000).toFixed(0);
  console.log(
    `\n${changes} changes, ${effective} of them with an effect, ${changedCells} cells changed; ${cells} real packets after each: ${wrong.length} not as foreseen (${seconds} s)`,
  );
}
if (result.wrong.length > 0) process.exitCode = 1;
