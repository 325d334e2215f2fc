/** The programs that a cluster starts: name in `dist` to source. */
export const PROGRAMS: Record<string, string> = {
  cli: "src/app/cli/main.ts",
};
