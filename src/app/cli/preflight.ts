// What a machine must have for a sandbox, asked before anything is made.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { release } from "node:os";
import { errorMessage, FairleadError } from "#base";
import type { ProxyMode } from "#proxy";

/** Linux 5.13: nf_tables `numgen` maps with concatenations in `inet` NAT, mount_setattr(2) and close_range(2) are all there. */
const OLDEST_KERNEL = [5, 13];

export function preflight(): void {
  if (process.platform !== "linux")
    throw new FairleadError("Fairlead needs Linux network namespaces; use a Linux machine or VM", { code: "NotLinux" });
  const [major = 0, minor = 0] = release()
    .split(".")
    .map((part) => Number.parseInt(part, 10));
  const [oldMajor = 0, oldMinor = 0] = OLDEST_KERNEL;
  if (major < oldMajor || (major === oldMajor && minor < oldMinor)) {
    throw new FairleadError(`Linux ${release()} is too old: Fairlead needs ${OLDEST_KERNEL.join(".")} or newer`, { code: "KernelTooOld" });
  }
  if (process.getuid?.() !== 0) checkUserNamespaces();
}

/** The default needs what preflight has asked for; other modes need what not every kernel has. */
export async function checkProxyMode(mode: ProxyMode): Promise<void> {
  if (mode === "nftables") return;
  const { checkMode } = await import("#proxy");
  try {
    checkMode(mode);
  } catch (err) {
    throw new FairleadError(`this machine cannot do --proxy-mode ${mode}: ${errorMessage(err)}. Use another --proxy-mode`, {
      code: "NoSuchMode",
      cause: err,
    });
  }
}

function checkUserNamespaces(): void {
  const result = spawnSync("unshare", ["--user", "--map-root-user", "--net", "true"], { encoding: "utf8" });
  if (result.status === 0) return;
  if (result.error !== undefined)
    throw new FairleadError("the program unshare is missing; install the package util-linux", { code: "ENOENT" });
  throw new FairleadError(
    `this user may not make user namespaces (${result.stderr.trim()}).${userNamespaceHint()} Or run fairlead as root.`,
    { code: "NoUserNamespaces" },
  );
}

/** What the machine says of why, and the command that changes it. */
function userNamespaceHint(): string {
  const settings: readonly [path: string, forbids: string, command: string][] = [
    ["/proc/sys/kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"],
    ["/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"],
    ["/proc/sys/user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=10000"],
  ];
  for (const [path, forbids, command] of settings) {
    try {
      if (readFileSync(path, "utf8").trim() === forbids) return ` Allow them with: sudo ${command}.`;
    } catch {
      // This kernel does not have that setting.
    }
  }
  return "";
}
