// The machine's first file system, made anew for each run: busybox, the few modules that it takes to mount the host's tree, init.sh, and
// the command. In the "newc" format of cpio (Linux, Documentation/driver-api/early-userspace/buffer-format.rst).
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Image } from "./image.ts";

/** What init.sh needs before it can ask modprobe. */
const MODULES: readonly string[] = ["virtio_pci", "virtio_console", "virtiofs", "overlay"];

interface Entry {
  readonly path: string;
  readonly mode: number;
  readonly content: Uint8Array;
}

const DIRECTORY = 0o040755;
const PROGRAM = 0o100755;
const FILE = 0o100644;

/** The archive in memory; entries must come after the folders that they lie in. */
function cpio(entries: readonly Entry[]): Buffer {
  const parts: Uint8Array[] = [];
  let length = 0;
  const push = (bytes: Uint8Array): void => {
    parts.push(bytes);
    length += bytes.length;
    const pad = -length & 3;
    if (pad > 0) parts.push(new Uint8Array(pad));
    length += pad;
  };
  for (const [index, { path, mode, content }] of [...entries, { path: "TRAILER!!!", mode: 0, content: new Uint8Array() }].entries()) {
    // ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
    const fields = [index + 1, mode, 0, 0, 1, 0, content.length, 0, 0, 0, 0, path.length + 1, 0];
    push(Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}${path}\0`, "latin1"));
    push(content);
  }
  return Buffer.concat(parts);
}

/** Paths of `names` and all that they depend on, in the order in which they can be loaded, from depmod's modules.dep. */
export function loadOrder(modulesDep: string, names: readonly string[]): string[] {
  const lines = modulesDep.split("\n").map((line) => line.split(": ").map((part) => part.replace(/:$/, "")));
  const order: string[] = [];
  for (const name of names) {
    const line = lines.find(([path = ""]) => path.endsWith(`/${name}.ko`));
    // Not there: built into this kernel.
    if (line === undefined) continue;
    const [path = "", needs = ""] = line;
    // depmod writes the one that must be loaded first last.
    for (const module of [...needs.split(" ").filter(Boolean).reverse(), path]) if (!order.includes(module)) order.push(module);
  }
  return order;
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

export interface Command {
  readonly argv: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
}

function commandScript({ argv, cwd, env }: Command): string {
  const variables = Object.entries(env).map(([name, value]) => `export ${name}=${quote(value)}`);
  return [...variables, `cd ${quote(cwd)} || exit 126`, `exec ${argv.map(quote).join(" ")}`, ""].join("\n");
}

export function initramfs(image: Image, command: Command, endMark: string): Buffer {
  const text = (path: string, content: string, mode = FILE): Entry => ({ path, mode, content: Buffer.from(content) });
  const file = (path: string, from: string, mode = FILE): Entry => ({ path, mode, content: readFileSync(from) });
  const order = loadOrder(readFileSync(join(image.modules, "modules.dep"), "utf8"), MODULES);
  const modules = order.map((path, index) => {
    if (!path.endsWith(".ko")) throw new Error(`Cannot use the kernel ${image.release}: its module ${path} is compressed`);
    return file(`modules/${String(index).padStart(2, "0")}.ko`, join(image.modules, path));
  });
  const machine = { kernel_root: image.root, modules_dir: image.modules, release: image.release, end_mark: endMark };
  return cpio([
    ...["bin", "dev", "modules"].map((path) => ({ path, mode: DIRECTORY, content: new Uint8Array() })),
    file("bin/busybox", image.busybox, PROGRAM),
    file("init", join(import.meta.dirname, "init.sh"), PROGRAM),
    ...modules,
    text(
      "machine",
      Object.entries(machine)
        .map(([name, value]) => `${name}=${quote(value)}\n`)
        .join(""),
    ),
    text("command", commandScript(command)),
  ]);
}
