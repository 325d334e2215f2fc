/** Long-lived calls of a pod: `logs -f` and `exec`. A door of its own, because only command lines need WebSockets. */
export { type ExecOptions, exec, type TerminalSize } from "./exec.ts";
export { type LogOptions, openLogs } from "./logs.ts";
