import type { BuildOptions } from "esbuild";

/** The programs that a cluster starts: name in `dist` to source. */
export const PROGRAMS: Record<string, string> = {
  cli: "src/app/cli/main.ts",
  apiserver: "src/app/apiserver/main.ts",
  controllers: "src/app/controllers/main.ts",
  agent: "src/app/agent/main.ts",
  sandbox: "src/app/sandbox/main.ts",
  supervisor: "src/app/supervisor/main.ts",
  agnhost: "src/app/images/agnhost/main.ts",
  launcher: "src/app/images/launcher/main.ts",
  pause: "src/app/images/pause/main.ts",
  dns: "src/app/images/dns/main.ts",
};

type Bundling = Pick<BuildOptions, "bundle" | "splitting" | "format" | "platform" | "target" | "external" | "banner">;

/** How they are bundled, here and in tests that want bundles of their own. */
export const BUNDLING: Bundling = {
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "node",
  target: "node24",
  external: ["koffi"],
  // CommonJS packages inside the bundle ask for built-in modules with require.
  banner: { js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);' },
};
