import type { Capability } from "#linux";

// What the launcher is told: a file in JSON. Plain data, so that what a container will see can be printed and compared in tests.

/** One step of building a container's root; paths are absolute, inside the new root. Parents are made where they are missing. */
export type RootStep =
  | { readonly do: "dir"; readonly path: string; readonly mode?: number }
  | { readonly do: "symlink"; readonly path: string; readonly target: string }
  | { readonly do: "file"; readonly path: string; readonly text: string; readonly mode: number }
  /** Binds a file or directory of the node, with everything mounted below it. `optional`: content when `source` is not there. */
  | { readonly do: "bind"; readonly path: string; readonly source: string; readonly readonly: boolean; readonly optional?: boolean }
  | {
      readonly do: "mount";
      readonly path: string;
      readonly type: string;
      readonly flags: readonly MountFlag[];
      readonly data?: string;
      /** Where the kernel refuses the mount (a user namespace that does not own what it takes). Without it the step must succeed. */
      readonly orElse?: RootStep | "skip";
    }
  /** Hides what is there, if it is there. */
  | { readonly do: "mask"; readonly path: string }
  /** Makes what is there read-only, if it is there. */
  | { readonly do: "readonly"; readonly path: string };

export type MountFlag = "nosuid" | "nodev" | "noexec" | "readonly";

export interface ProcessSpec {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly user: { readonly uid: number; readonly gid: number; readonly groups: readonly number[] };
  /** The bounding set, as `CAP_…` names; all others are dropped. */
  readonly capabilities: readonly Capability[];
  readonly noNewPrivs: boolean;
  /** A terminal is on standard input and becomes the process's controlling one. */
  readonly tty: boolean;
  /** A program of ours, imported by the launcher instead of being executed: saves a start of Node. */
  readonly program?: string;
}

/** A new container: its root, then its process. */
export interface ContainerLaunch {
  readonly kind: "container";
  /** An empty directory of the node on which the new root is mounted, in the launcher's mount namespace alone. */
  readonly rootDir: string;
  readonly steps: readonly RootStep[];
  readonly readonlyRoot: boolean;
  readonly process: ProcessSpec;
}

/** A process in a container that runs. */
export interface ExecLaunch {
  readonly kind: "exec";
  /** A process of the container, whose mount namespace is entered. */
  readonly pid: number;
  readonly process: ProcessSpec;
}

export type LaunchSpec = ContainerLaunch | ExecLaunch;

/** The launcher writes one LaunchReport to this descriptor and closes it before the process's own program begins. */
export const REPORT_FD = 3;

export interface LaunchReport {
  /** Absent: all is well. */
  readonly error?: { readonly message: string; readonly kind: "command" | "setup" };
}
