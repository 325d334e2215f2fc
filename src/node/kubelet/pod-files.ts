// A pod's own files on the node: /etc/hosts, last words of containers, logs.
import { closeSync, existsSync, fstatSync, mkdirSync, openSync, readFileSync, readSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import type { Container } from "kubernetes-types/core/v1";
import { type ContainerStatus, parseLogLine, removeLog } from "#runtime";
import { logDirectoryName } from "./container-config.ts";
import type { StoredPod } from "./pod-spec.ts";

/** `pkg/kubelet/container`: MaxPodTerminationMessageLogLength and the limits for a tail of the log. */
const MESSAGE_BYTES = 4096;
const LOG_TAIL_BYTES = 2048;
const LOG_TAIL_LINES = 80;

export class PodFiles {
  readonly dir: string;
  readonly logDirectory: string;
  readonly #messages = new Map<string, string | undefined>();

  constructor(nodeRoot: string, pod: StoredPod) {
    this.dir = `${nodeRoot}/pods/${pod.metadata.uid}`;
    this.logDirectory = `${nodeRoot}/log/pods/${logDirectoryName(pod)}`;
  }

  get hostsFile(): string {
    return `${this.dir}/etc-hosts`;
  }

  /** What a container has written into it since is the pod's own. */
  get hasHosts(): boolean {
    return existsSync(this.hostsFile);
  }

  /** Whole or not at all. Only while no container has it mounted: it is another file afterwards. */
  writeHosts(text: string): void {
    mkdirSync(this.dir, { recursive: true });
    writeFileSync(`${this.hostsFile}.new`, text, { mode: 0o644 });
    renameSync(`${this.hostsFile}.new`, this.hostsFile);
  }

  removeHosts(): void {
    rmSync(this.hostsFile, { force: true });
  }

  /** A new file for the last words of the `attempt`-th container of that name. */
  createTerminationFile(name: string, attempt: number): string {
    const file = this.#terminationFile(name, attempt);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, "", { mode: 0o666 });
    return file;
  }

  /** The last words of a container that has ended. */
  terminationMessage(status: ContainerStatus, container: Container | undefined): string | undefined {
    if (this.#messages.has(status.id)) return this.#messages.get(status.id);
    let message = readEnd(this.#terminationFile(status.metadata.name, status.metadata.attempt), MESSAGE_BYTES).trim();
    if (message === "" && container?.terminationMessagePolicy === "FallbackToLogsOnError" && status.exitCode !== 0) {
      message = logTail(status.logPath);
    }
    const result = message === "" ? undefined : message;
    this.#messages.set(status.id, result);
    return result;
  }

  /** What an instance that is no longer remembered has left. */
  forgetInstance(status: ContainerStatus): void {
    this.#messages.delete(status.id);
    rmSync(this.#terminationFile(status.metadata.name, status.metadata.attempt), { force: true });
    removeLog(status.logPath);
  }

  removeLogs(): void {
    rmSync(this.logDirectory, { recursive: true, force: true });
  }

  #terminationFile(name: string, attempt: number): string {
    return `${this.dir}/containers/${name}/${attempt}`;
  }
}

function readEnd(file: string, bytes: number): string {
  let fd: number;
  try {
    fd = openSync(file, "r");
  } catch {
    return "";
  }
  try {
    const { size } = fstatSync(fd);
    const buffer = Buffer.alloc(Math.min(size, bytes));
    readSync(fd, buffer, 0, buffer.length, size - buffer.length);
    return buffer.toString();
  } finally {
    closeSync(fd);
  }
}

function logTail(file: string): string {
  let text: string;
  try {
    text = readFileSync(file, "latin1");
  } catch {
    return "";
  }
  const lines = text.trimEnd().split("\n").slice(-LOG_TAIL_LINES);
  const messages = lines.map((line) => parseLogLine(Buffer.from(line, "latin1"))?.text.toString() ?? "");
  return messages.join("\n").slice(-LOG_TAIL_BYTES);
}
