// `npm run conformance [-- ARGS]` runs conformance/main.ts with the Node that the project brings.
import { spawnSync } from "node:child_process";

const root: string = new URL("..", import.meta.url).pathname;
const result = spawnSync(`${root}node_modules/.bin/node`, ["conformance/main.ts", ...process.argv.slice(2)], {
  cwd: root,
  stdio: "inherit",
});
process.exit(result.status ?? 1);
