// Runs a command in a kernel of its own: `node scripts/kernel/run.ts [--timeout SECONDS] [--memory MIB] [--cpus N] -- COMMAND...`.
// Exit status: the command's; 2 for wrong arguments, 69 where there is no such machine, 125 when the machine failed.
import { parseArgs } from "node:util";
import { runInKernel } from "./index.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    timeout: { type: "string", default: "600" },
    memory: { type: "string", default: "2048" },
    cpus: { type: "string", default: "2" },
  },
});
const [timeout, memoryMiB, cpus] = [values.timeout, values.memory, values.cpus].map(Number);
if (positionals.length === 0 || !timeout || !memoryMiB || !cpus) {
  console.error("usage: node scripts/kernel/run.ts [--timeout SECONDS] [--memory MIB] [--cpus N] -- COMMAND...");
  process.exit(2);
}
process.exitCode = await runInKernel(positionals, { timeoutMs: timeout * 1000, memoryMiB, cpus });
