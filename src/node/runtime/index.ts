/** The container runtime: the CRI's shape, the embedded runtime, the built-in images. */
export { type LogLine, type LogStream, parseLogLine } from "./cri-log.ts";
export { createEmbeddedRuntime, type EmbeddedRuntimeOptions } from "./embedded.ts";
export { RuntimeError, type RuntimeErrorCode } from "./errors.ts";
export type { ContainerLaunch, ExecLaunch, LaunchReport, LaunchSpec, MountFlag, ProcessSpec, RootStep } from "./launch-spec.ts";
export { REPORT_FD } from "./launch-spec.ts";
export { removeLog, rotatedLogs } from "./log-file.ts";
export type { ProgramFiles } from "./rootfs.ts";
export type * from "./types.ts";
