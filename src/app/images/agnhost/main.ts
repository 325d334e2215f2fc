// The `agnhost` program of the built-in image of that name.
import { runAgnhost } from "./commands.ts";

// The first process of a pid namespace is not ended by SIGTERM unless it handles it. A Go program then exits with code 2 (runtime
// `dieFromSignal`), and so does this one. Subcommands that do something else on SIGTERM remove this handler.
process.on("SIGTERM", () => process.exit(2));
process.on("SIGINT", () => process.exit(2));

await runAgnhost(process.argv.slice(2));
