// Steps of a start, as lines of JSON on a pipe from the sandbox to the command that waits for it.
import { closeSync, writeSync } from "node:fs";

export type ProgressEvent =
  | { readonly type: "step"; readonly step: string; readonly atMs: number }
  | { readonly type: "api-port"; readonly port: number }
  /** The last one of a start that succeeds. */
  | { readonly type: "ready" }
  | { readonly type: "error"; readonly message: string };

export interface ProgressPipe {
  send(event: ProgressEvent): void;
  close(): void;
}

/** The receiver may be gone: then what is sent is lost, which is right. */
export function openProgress(fd: number | undefined): ProgressPipe {
  let open = fd;
  return {
    send(event) {
      if (open === undefined) return;
      try {
        writeSync(open, `${JSON.stringify(event)}\n`);
      } catch {
        open = undefined;
      }
    },
    close() {
      if (open !== undefined) closeSync(open);
      open = undefined;
    },
  };
}

export function parseProgress(line: string): ProgressEvent | undefined {
  const value: unknown = JSON.parse(line);
  if (typeof value !== "object" || value === null || !("type" in value)) return undefined;
  if (value.type === "step" && "step" in value && "atMs" in value) {
    return { type: "step", step: String(value.step), atMs: Number(value.atMs) };
  }
  if (value.type === "ready") return { type: "ready" };
  if (value.type === "api-port" && "port" in value) return { type: "api-port", port: Number(value.port) };
  if (value.type === "error" && "message" in value) return { type: "error", message: String(value.message) };
  return undefined;
}
