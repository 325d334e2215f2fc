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
