// `npm run bench NAME [-- ARGS]` runs bench/NAME/main.ts; without a name it lists what there is.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";

const root: string = new URL("..", import.meta.url).pathname;
const [name, ...args] = process.argv.slice(2);
if (name === undefined || !existsSync(`${root}bench/${name}/main.ts`)) {
  console.error(`usage: npm run bench NAME; there are: ${readdirSync(`${root}bench`).join(", ")}`);
  process.exit(2);
}
const result = spawnSync(`${root}node_modules/.bin/node`, [`bench/${name}/main.ts`, ...args], { cwd: root, stdio: "inherit" });
process.exit(result.status ?? 1);
