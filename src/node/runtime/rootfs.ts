// What a container sees as its root: the node's system directories read-only, with its own /etc, /dev, /proc, /sys and writable rest.
// Pure: from what the node has and what the container wants to the steps of the launcher.
import { PAUSE_SCRIPT, PROGRAM_PATHS } from "./images.ts";
import type { RootStep } from "./launch-spec.ts";
import type { Mount, NamespaceOptions } from "./types.ts";

/** A directory of the node's root, or a symbolic link there (/bin to usr/bin). */
export interface HostEntry {
  readonly path: string;
  readonly symlink?: string;
}

/** What the node has of SYSTEM_DIRS and ETC_ENTRIES; read once. */
export interface HostLayout {
  readonly entries: readonly HostEntry[];
}

/** The bundles of our own programs and the Node that runs them. */
export interface ProgramFiles {
  readonly nodePath: string;
  /** Where `agnhost.js` and the like are. */
  readonly distDir: string;
}

/** Programs and libraries. Not /home, /root, /srv and the like: what a person keeps there is nobody's business in a pod. */
export const SYSTEM_DIRS: readonly string[] = ["bin", "gnu", "lib", "lib32", "lib64", "libx32", "nix", "opt", "sbin", "usr"].map(
  (name) => `/${name}`,
);

/** What programs need of /etc and what holds no secrets (shadow, ssh keys and the rest stay out). */
export const ETC_ENTRIES: readonly string[] = [
  "alternatives bash.bashrc ca-certificates ca-certificates.conf crypto-policies debian_version environment ethertypes gai.conf group",
  "host.conf inputrc iproute2 java ld.so.cache ld.so.conf ld.so.conf.d locale.alias localtime login.defs magic mime.types networks",
  "nsswitch.conf os-release passwd perl pki profile profile.d protocols python3 rpc services shells skel ssl/certs ssl/openssl.cnf",
  "terminfo timezone vim xattr.conf",
].flatMap((line) => line.split(" ").map((name) => `/etc/${name}`));

const DEVICES = ["full", "null", "random", "tty", "urandom", "zero"].map((name) => `/dev/${name}`);

/** What a container that is not privileged must not see or change (runtime-spec defaults of containerd and runc). */
const MASKED = [
  ...["acpi", "asound", "interrupts", "kcore", "keys", "latency_stats", "sched_debug", "scsi", "timer_list", "timer_stats"].map(
    (name) => `/proc/${name}`,
  ),
  "/sys/firmware",
  "/sys/devices/virtual/powercap",
];
const READONLY = ["bus", "fs", "irq", "sys", "sysrq-trigger"].map((name) => `/proc/${name}`);

export interface RootfsRequest {
  readonly host: HostLayout;
  readonly programs: ProgramFiles;
  readonly namespaces: NamespaceOptions;
  readonly privileged: boolean;
  /** resolv.conf, hostname and shm of the pod. */
  readonly sandboxDir: string;
  readonly mounts: readonly Mount[];
}

export function planRootfs(request: RootfsRequest): RootStep[] {
  const { privileged } = request;
  return [
    ...request.host.entries.map(hostStep),
    ...programSteps(request.programs),
    ...writableDirs(),
    ...(privileged ? privilegedDev() : ownDev()),
    ...procAndSys(request.namespaces, privileged),
    { do: "bind", path: "/dev/shm", source: `${request.sandboxDir}/shm`, readonly: false },
    { do: "bind", path: "/etc/resolv.conf", source: `${request.sandboxDir}/resolv.conf`, readonly: false },
    { do: "bind", path: "/etc/hostname", source: `${request.sandboxDir}/hostname`, readonly: false },
    ...volumeSteps(request.mounts),
  ];
}

function hostStep(entry: HostEntry): RootStep {
  if (entry.symlink !== undefined) return { do: "symlink", path: entry.path, target: entry.symlink };
  return { do: "bind", path: entry.path, source: entry.path, readonly: true, optional: true };
}

/** Our bundles and Node at their own paths, and a script for each program (and `/node`) in the root. */
function programSteps({ nodePath, distDir }: ProgramFiles): RootStep[] {
  const dirs = [distDir, nodePath.slice(0, nodePath.lastIndexOf("/"))].filter(
    (dir) => !SYSTEM_DIRS.some((top) => dir.startsWith(`${top}/`)),
  );
  const scripts = Object.entries(PROGRAM_PATHS).map(
    ([path, program]): RootStep => ({
      do: "file",
      path,
      text: `#!/bin/sh\nexec ${quote(nodePath)} ${quote(`${distDir}/${program}.js`)} "$@"\n`,
      mode: 0o755,
    }),
  );
  const pause: RootStep = { do: "file", path: "/pause", text: `#!/bin/sh\n${PAUSE_SCRIPT}\n`, mode: 0o755 };
  const node: RootStep = { do: "symlink", path: "/node", target: nodePath };
  return [...[...new Set(dirs)].map((dir): RootStep => ({ do: "bind", path: dir, source: dir, readonly: true })), ...scripts, pause, node];
}

/** For a POSIX shell. */
function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function writableDirs(): RootStep[] {
  return [
    ...["/tmp", "/var/tmp"].map((path): RootStep => ({ do: "dir", path, mode: 0o1777 })),
    ...["/etc", "/home", "/mnt", "/run", "/srv", "/var/cache", "/var/lib", "/var/log"].map((path): RootStep => ({ do: "dir", path })),
    // Not 0700: our bundles may be below it, and a container's user is not always root.
    { do: "dir", path: "/root", mode: 0o711 },
    { do: "symlink", path: "/var/run", target: "/run" },
    { do: "symlink", path: "/var/lock", target: "/run/lock" },
  ];
}

/** Devices are bound, not made: a user namespace must not mknod. */
function ownDev(): RootStep[] {
  return [
    { do: "mount", path: "/dev", type: "tmpfs", flags: ["nosuid"], data: "mode=755,size=64k" },
    ...DEVICES.map((path): RootStep => ({ do: "bind", path, source: path, readonly: false, optional: true })),
    { do: "mount", path: "/dev/pts", type: "devpts", flags: ["nosuid", "noexec"], data: "newinstance,ptmxmode=0666,mode=0620" },
    { do: "mount", path: "/dev/mqueue", type: "mqueue", flags: ["nosuid", "nodev", "noexec"], orElse: "skip" },
    { do: "symlink", path: "/dev/ptmx", target: "pts/ptmx" },
    { do: "symlink", path: "/dev/fd", target: "/proc/self/fd" },
    { do: "symlink", path: "/dev/stdin", target: "/proc/self/fd/0" },
    { do: "symlink", path: "/dev/stdout", target: "/proc/self/fd/1" },
    { do: "symlink", path: "/dev/stderr", target: "/proc/self/fd/2" },
  ];
}

function privilegedDev(): RootStep[] {
  return [{ do: "bind", path: "/dev", source: "/dev", readonly: false }];
}

function procAndSys(namespaces: NamespaceOptions, privileged: boolean): RootStep[] {
  const hostProc: RootStep = { do: "bind", path: "/proc", source: "/proc", readonly: false };
  // A new proc shows the pid namespace of who mounts it. Refused where parts of the present one are hidden (Linux `mnt_already_visible`).
  const proc: RootStep =
    namespaces.pid === "node"
      ? hostProc
      : { do: "mount", path: "/proc", type: "proc", flags: ["nosuid", "nodev", "noexec"], orElse: hostProc };
  const sys: RootStep = {
    do: "mount",
    path: "/sys",
    type: "sysfs",
    flags: ["nosuid", "nodev", "noexec", ...(privileged ? [] : (["readonly"] as const))],
    orElse: { do: "bind", path: "/sys", source: "/sys", readonly: !privileged },
  };
  if (privileged) return [proc, sys];
  const masks = MASKED.map((path): RootStep => ({ do: "mask", path }));
  return [proc, sys, ...masks, ...READONLY.map((path): RootStep => ({ do: "readonly", path }))];
}

/** A mount inside another one must come after it. */
function volumeSteps(mounts: readonly Mount[]): RootStep[] {
  const depth = (mount: Mount): number => mount.containerPath.split("/").filter((part) => part !== "").length;
  return [...mounts]
    .sort((a, b) => depth(a) - depth(b))
    .map((mount): RootStep => ({ do: "bind", path: mount.containerPath, source: mount.hostPath, readonly: mount.readonly }));
}
