// Unpacks Debian's kernel, busybox and kmod into the cache, if they are not there: `node scripts/kernel/fetch.ts [--again]`. Nothing is
// installed, so nothing of the host's boot is touched.
import { spawnSync } from "node:child_process";
import { existsSync, globSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { cacheRoot } from "./image.ts";

function run(cwd: string, [program = "", ...args]: readonly string[], argv0 = program): string {
  const result = spawnSync(program, args, { cwd, argv0, encoding: "utf8" });
  if (result.status === 0) return result.stdout;
  throw new Error(`Cannot run ${program} ${args.join(" ")}: ${result.error?.message ?? result.stderr.trim()}`);
}

/** The package of the present kernel, of which linux-image-cloud-amd64 is only the name. */
function kernelPackage(cwd: string): string {
  const name = /^ *Depends: (linux-image-\S+)$/m.exec(run(cwd, ["apt-cache", "depends", "linux-image-cloud-amd64"]))?.[1];
  if (name === undefined)
    throw new Error("Cannot find a kernel: the package linux-image-cloud-amd64 names none (apt-get update; Debian only)");
  return name;
}

function download(cwd: string): void {
  run(cwd, ["apt-get", "download", "-q", kernelPackage(cwd), "busybox-static", "kmod"]);
}

function unpack(cwd: string, root: string): void {
  try {
    download(cwd);
  } catch (err) {
    // Package lists that are missing, or so old that they name files that are gone.
    if (process.getuid?.() !== 0) throw err;
    run(cwd, ["apt-get", "update", "-q"]);
    download(cwd);
  }
  for (const file of globSync("*.deb", { cwd })) run(cwd, ["dpkg", "-x", file, root]);
  // What the package's own script would do when it is installed.
  for (const release of readdirSync(join(root, "lib/modules"))) run(cwd, [join(root, "bin/kmod"), "-b", root, release], "depmod");
}

const root: string = cacheRoot();
if (process.argv.includes("--again")) rmSync(root, { recursive: true, force: true });
if (!existsSync(root)) {
  mkdirSync(dirname(root), { recursive: true });
  const temporary = mkdtempSync(join(dirname(root), "fetch-"));
  try {
    const tree = join(temporary, "tree");
    mkdirSync(tree);
    unpack(temporary, tree);
    renameSync(tree, root);
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}
console.log(`# kernel: ${readdirSync(join(root, "lib/modules")).join(", ")} in ${root}`);
