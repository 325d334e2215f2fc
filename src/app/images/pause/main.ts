// Holds a pod whose containers share one pid namespace: as its pid 1 it waits for orphans, and ends on SIGTERM.
import { watchOrphans } from "#linux";

watchOrphans(
  () => new Set(),
  () => {},
);
for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => process.exit(0));
setInterval(() => {}, 2 ** 31 - 1);
