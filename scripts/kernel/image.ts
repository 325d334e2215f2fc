// Finds what a machine is made of on this host: qemu, virtiofsd, and a root folder in which Debian's packages linux-image-cloud-amd64,
// busybox-static and kmod are unpacked (fetch.ts makes one; "/" is one where they are installed).
import { accessSync, constants, existsSync, readdirSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";

export interface Image {
  /** As `uname -r` will say. */
  readonly release: string;
  /** The folder that the other paths lie in. */
  readonly root: string;
  readonly vmlinuz: string;
  readonly modules: string;
  readonly busybox: string;
  readonly qemu: string;
  readonly virtiofsd: string;
}

/** Where fetch.ts puts the packages: for every checkout of this machine the same place. */
export function cacheRoot(): string {
  if (process.getuid?.() === 0) return "/var/cache/fairlead/kernel";
  return join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "fairlead/kernel");
}

/** Debian 12 has virtiofsd in qemu-system-common; later ones in a package of its own. */
const VIRTIOFSD: readonly string[] = ["/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd"];

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function releasesIn(root: string): string[] {
  const boot = join(root, "boot");
  if (!existsSync(boot)) return [];
  const prefix = "vmlinuz-";
  return readdirSync(boot)
    .filter((name) => name.startsWith(prefix) && existsSync(join(root, "lib/modules", name.slice(prefix.length), "modules.dep")))
    .map((name) => name.slice(prefix.length))
    .sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
}

/** The image, or why there is none. */
export function findImage(): Image | string {
  if (process.arch !== "x64") return `it is made for x64 machines, this one is ${process.arch}`;
  if (process.getuid?.() !== 0) return "sharing the host's tree with a virtual machine needs root";
  const qemu = (process.env["PATH"] ?? "")
    .split(delimiter)
    .map((dir) => join(dir, "qemu-system-x86_64"))
    .find(isExecutable);
  if (qemu === undefined) return "qemu-system-x86_64 is not installed (apt-get install --no-install-recommends qemu-system-x86)";
  const virtiofsd = VIRTIOFSD.find(isExecutable);
  if (virtiofsd === undefined) return `there is no virtiofsd (looked for ${VIRTIOFSD.join(", ")}; apt-get install virtiofsd)`;

  const named = process.env["FAIRLEAD_KERNEL"];
  const roots = named === undefined ? [cacheRoot(), "/"] : [named];
  for (const root of roots) {
    // Another distribution's own kernel may lack modules: of the host's, only Debian's cloud kernels.
    const release = releasesIn(root).findLast((name) => root !== "/" || name.endsWith("-cloud-amd64"));
    const busybox = join(root, "bin/busybox");
    if (release === undefined || !isExecutable(busybox) || !isExecutable(join(root, "bin/kmod"))) continue;
    const modules = join(root, "lib/modules", release);
    return { release, root, vmlinuz: join(root, "boot", `vmlinuz-${release}`), modules, busybox, qemu, virtiofsd };
  }
  return `no kernel with busybox and kmod in ${roots.join(" or ")} (node scripts/kernel/fetch.ts; see scripts/kernel/README.md)`;
}
