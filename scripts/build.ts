// Bundles the programs of `src` into `dist`. A component that strips its types at run time costs 14 MiB more memory and starts
// slower than one that runs a bundle (measured; ADR 2), so every process of a cluster runs from here.
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { build, type Plugin } from "esbuild";
import { BUNDLING, PROGRAMS } from "./programs.ts";

const root: string = new URL("..", import.meta.url).pathname;

/**
 * Built-in modules without their ES module form: to make that, Node reads every export, and `node:http` then loads its WebSocket and
 * fetch for nobody. 5 MiB of private memory in each process that serves or asks over HTTP (measured with Node 24.21).
 */
const plainBuiltins: Plugin = {
  name: "plain built-in modules",
  setup(bundler) {
    bundler.onResolve({ filter: /^node:/ }, ({ path, kind }) => (kind === "import-statement" ? { path, namespace: "builtin" } : undefined));
    bundler.onLoad({ filter: /.*/, namespace: "builtin" }, ({ path }) => {
      return { contents: `module.exports = process.getBuiltinModule(${JSON.stringify(path)});`, loader: "js" };
    });
  },
};

const { metafile } = await build({
  metafile: true,
  absWorkingDir: root,
  entryPoints: PROGRAMS,
  outdir: "dist",
  ...BUNDLING,
  plugins: [plainBuiltins],
  sourcemap: "linked",
  logLevel: "warning",
  // Flat: a program finds the others beside itself, whichever chunk its code is in.
  chunkNames: "[name]-[hash]",
});
// After the build, so that one that fails leaves the last one that did not.
for (const file of readdirSync(`${root}dist`)) if (metafile.outputs[`dist/${file}`] === undefined) rmSync(`${root}dist/${file}`);
writeFileSync(`${root}dist/.stamp`, "");
