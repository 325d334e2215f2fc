// Who a container's process is: capabilities, user, environment. Pure.
import { CAPABILITIES, type Capability, parseCapability } from "#linux";
import { RuntimeError } from "./errors.ts";
import type { ProcessSpec } from "./launch-spec.ts";
import type { ContainerConfig, SecurityContext } from "./types.ts";

/** containerd's default set without MKNOD: without a device cgroup it would hand out the node's disks. */
export const DEFAULT_CAPABILITIES: readonly Capability[] = [
  ...(["CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_NET_BIND_SERVICE"] as const),
  ...(["CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT"] as const),
];

export function containerCapabilities(context: SecurityContext | undefined): Capability[] {
  if (context?.privileged === true) return [...CAPABILITIES];
  const add = (context?.capabilities?.add ?? []).map(parseName);
  const drop = (context?.capabilities?.drop ?? []).map(parseName);
  const base = drop.includes("ALL") ? [] : add.includes("ALL") ? CAPABILITIES : DEFAULT_CAPABILITIES;
  // "drop: [ALL], add: [X]" is how manifests say "only X".
  return CAPABILITIES.filter((name) => !drop.includes(name) && (base.includes(name) || add.includes(name)));
}

function parseName(text: string): Capability | "ALL" {
  if (/^(CAP_)?ALL$/i.test(text)) return "ALL";
  try {
    return parseCapability(text);
  } catch (err) {
    throw new RuntimeError("CreateContainerConfigError", `securityContext.capabilities: there is no capability "${text}"`, err);
  }
}

/** A line of /proc/self/uid_map: ids `inside`… of this user namespace. */
export interface IdRange {
  readonly inside: number;
  readonly count: number;
}

export function parseIdMap(text: string): IdRange[] {
  return text
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/\s+/).map(Number))
    .map(([inside = 0, , count = 0]) => ({ inside, count }));
}

export interface IdMaps {
  readonly uids: readonly IdRange[];
  readonly gids: readonly IdRange[];
}

/** The user of a container; refuses ids that this user namespace does not have, since the kernel would. */
export function containerUser(context: SecurityContext | undefined, maps: IdMaps): ProcessSpec["user"] {
  const uid = context?.runAsUser ?? 0;
  const gid = context?.runAsGroup ?? 0;
  // Supplementary groups that do not exist here would only give access to files that do not exist here either.
  const groups = (context?.supplementalGroups ?? []).filter((id) => isMapped(maps.gids, id));
  for (const [field, id, ranges] of [["runAsUser", uid, maps.uids] as const, ["runAsGroup", gid, maps.gids] as const]) {
    if (isMapped(ranges, id)) continue;
    throw new RuntimeError(
      "CreateContainerConfigError",
      `securityContext.${field} is ${id}, but this cluster runs in a user namespace that has only id 0. ` +
        `Leave ${field} out (root in the pod is then the user who started the cluster, without rights on the machine), or start the cluster as root.`,
    );
  }
  return { uid, gid, groups };
}

function isMapped(ranges: readonly IdRange[], id: number): boolean {
  return ranges.some((range) => id >= range.inside && id < range.inside + range.count);
}

const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** PATH, HOME and HOSTNAME as other runtimes set them, then the container's own. */
export function containerEnv(config: ContainerConfig, hostname: string, tty: boolean): Record<string, string> {
  const home = (config.securityContext?.runAsUser ?? 0) === 0 ? "/root" : "/";
  const env: Record<string, string> = { PATH, HOSTNAME: hostname, HOME: home, ...(tty ? { TERM: "xterm" } : {}) };
  for (const { key, value } of config.envs) env[key] = value;
  return env;
}
