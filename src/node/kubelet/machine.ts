// What this machine is, for its Node object.
import { readFileSync, statfsSync } from "node:fs";
import { availableParallelism, release, totalmem } from "node:os";
import type { RuntimeService } from "#runtime";
import type { MachineFacts } from "./node-object.ts";

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };

export async function readMachine(nodeRoot: string, runtime: Pick<RuntimeService, "version">): Promise<MachineFacts> {
  const { runtimeName, runtimeVersion } = await runtime.version();
  const disk = statfsSync(nodeRoot);
  return {
    cpus: availableParallelism(),
    memoryBytes: totalmem(),
    diskBytes: disk.blocks * disk.bsize,
    architecture: ARCHITECTURES[process.arch] ?? process.arch,
    kernelVersion: release(),
    osImage: osImage(),
    machineId: readWord("/etc/machine-id"),
    bootId: readWord("/proc/sys/kernel/random/boot_id"),
    runtimeVersion: `${runtimeName}://${runtimeVersion}`,
  };
}

function readWord(file: string): string {
  try {
    return readFileSync(file, "utf8").trim();
  } catch {
    return "";
  }
}

/** os-release(5). */
function osImage(): string {
  return /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(readWord("/etc/os-release"))?.[1] ?? "Linux";
}
