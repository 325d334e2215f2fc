// For tests of the real thing: the programs that containers are made of, bundled as `npm run build` does it, in a place of their own.
import { mkdirSync, rmSync } from "node:fs";
import { build } from "esbuild";
import { BUNDLING } from "../../../../scripts/programs.ts";
import type { ProgramFiles } from "../rootfs.ts";

const ROOT = new URL("../../../..", import.meta.url).pathname;

/** In `node_modules`, so that the bundles find koffi. The caller removes `distDir`. */
export async function buildTestPrograms(): Promise<ProgramFiles> {
  const distDir = `${ROOT}node_modules/.cache/fairlead-test-${process.pid}`;
  mkdirSync(distDir, { recursive: true });
  const images = `${ROOT}src/app/images`;
  await build({
    entryPoints: Object.fromEntries(["launcher", "pause", "agnhost"].map((name) => [name, `${images}/${name}/main.ts`])),
    outdir: distDir,
    ...BUNDLING,
    logLevel: "error",
  });
  return { nodePath: process.execPath, distDir };
}

export function removeTestPrograms(programs: ProgramFiles): void {
  rmSync(programs.distDir, { recursive: true, force: true });
}
