/** The kernel over FFI: network namespaces, rtnetlink, nf_tables, conntrack, processes in namespaces. */
export { errnoName, isErrno, KernelError } from "./kernel-error.ts";
export { netns } from "./netns.ts";
export { openRoute } from "./route/index.ts";
export type * from "./types.ts";
