// For tests with real containers: the programs that they are made of, bundled as `npm run build` does it, in a place of their own.
import { mkdirSync, rmSync } from "node:fs";
import { build } from "esbuild";

const ROOT = new URL("../../../..", import.meta.url).pathname;

/** In `node_modules`, so that the bundles find koffi. */
export async function buildContainerPrograms(): Promise<{ readonly distDir: string; remove(): void }> {
  const distDir = `${ROOT}node_modules/.cache/fairlead-kubelet-test-${process.pid}`;
  mkdirSync(distDir, { recursive: true });
  const images = `${ROOT}src/app/images`;
  await build({
    entryPoints: { launcher: `${images}/launcher/main.ts`, agnhost: `${images}/agnhost/main.ts` },
    outdir: distDir,
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    target: "node24",
    external: ["koffi"],
    logLevel: "error",
  });
  return { distDir, remove: () => rmSync(distDir, { recursive: true, force: true }) };
}
