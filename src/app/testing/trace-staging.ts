// How faults are staged, and undone. For tests.
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import type { KubeObject } from "#kube";
import type { CauseCode, RawQuestion } from "#trace";
import { HTTP, type TraceWorld } from "./trace-world.ts";

export interface Fault {
  readonly name: string;
  stage?(world: TraceWorld): Promise<void>;
  undo?(world: TraceWorld): Promise<void>;
  /** Agents may put right what is staged: it is staged again then. */
  readonly isHealed?: boolean;
  readonly question: Pick<RawQuestion, "from" | "to"> & Partial<RawQuestion>;
  readonly cause: CauseCode;
  /** What the sentence, a fact, a near miss or a fix says. */
  readonly says: RegExp;
}

export type Staging = Pick<Fault, "stage" | "undo">;

export function objects(...all: readonly KubeObject[]): Staging {
  return { stage: (world) => world.apply(...all), undo: (world) => world.remove(...all) };
}

/** Commands as one line each. */
export function commands(where: string, on: readonly string[], off: readonly string[]): Staging {
  const all = async (world: TraceWorld, lines: readonly string[]): Promise<void> => {
    for (const line of lines) await world.run(where, "sh", "-c", line.replaceAll("DB4", world.addrs("default/db")[0] ?? ""));
  };
  return { stage: (world) => all(world, on), undo: (world) => all(world, off) };
}

/** A server in a pod's network, which is not the pod's own process. */
export function listening(where: string, code: string): Staging {
  let child: ChildProcess | undefined;
  return {
    async stage(world) {
      const path = await world.path(where);
      child = world.cluster.spawnInside(path, process.execPath, "-e", `${code}; process.stdin.resume().on("end", () => process.exit())`);
      if (child.stdout !== null) await once(child.stdout, "data");
    },
    async undo() {
      if (child === undefined) return;
      const ended = once(child, "exit");
      child.stdin?.end();
      await ended;
    },
  };
}

export const toDb: Fault["question"] = { from: "web", to: "pod/db", port: String(HTTP) };
