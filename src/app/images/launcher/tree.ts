// Paths of a root that is being built, from outside of it. Symbolic links there are followed as the container will follow them: an
// absolute one points into the new root, never into the node's.
import { chmodSync, lstatSync, mkdirSync, readdirSync, readlinkSync, symlinkSync, writeFileSync } from "node:fs";
import { bindMount, isErrno, mount } from "#linux";

const MAX_LINKS = 40;

/** Where the original of a read-only directory stays in reach after something was mounted inside it. */
const ORIGINALS = "/.fairlead";

export class Tree {
  readonly #root: string;
  #originals = 0;

  constructor(root: string) {
    this.#root = root;
  }

  /** The path as it is; for what is known to have no symbolic links. */
  at(path: string): string {
    return `${this.#root}${path}`;
  }

  chmod(path: string, mode: number): void {
    chmodSync(this.#walk(path), mode);
  }

  /** Where `path` is, made where it is missing: all its parents, and itself as a directory or an empty file. */
  place(path: string, kind: "dir" | "file"): string {
    return this.#walk(path, (missing, isLast) => this.#make(missing, isLast ? kind : "dir"));
  }

  /** Follows `path` from the root on; `make` is called for each part that is missing. */
  #walk(path: string, make?: (path: string, isLast: boolean) => void): string {
    let here = "";
    let links = 0;
    const rest = parts(path);
    for (let part = rest.shift(); part !== undefined; part = rest.shift()) {
      if (part === "..") {
        here = here.slice(0, Math.max(0, here.lastIndexOf("/")));
        continue;
      }
      const next = `${here}/${part}`;
      const stat = lstatSync(this.at(next), { throwIfNoEntry: false });
      if (stat?.isSymbolicLink() === true) {
        if (++links > MAX_LINKS) throw new Error(`${path}: too many symbolic links`);
        const target = readlinkSync(this.at(next));
        if (target.startsWith("/")) here = "";
        rest.unshift(...parts(target));
        continue;
      }
      if (stat === undefined) make?.(next, rest.length === 0);
      here = next;
    }
    return this.at(here);
  }

  #make(path: string, kind: "dir" | "file"): void {
    try {
      this.#create(path, kind);
    } catch (err) {
      if (!isErrno(err, "EROFS", "EACCES", "EPERM")) throw err;
      this.#shadow(path.slice(0, path.lastIndexOf("/")));
      this.#create(path, kind);
    }
  }

  #create(path: string, kind: "dir" | "file"): void {
    if (kind === "dir") mkdirSync(this.at(path));
    else writeFileSync(this.at(path), "", { flag: "wx" });
  }

  /** Lays a writable directory over a read-only one, with a link to each thing that was in it. */
  #shadow(path: string): void {
    const original = `${ORIGINALS}/${this.#originals++}`;
    mkdirSync(this.at(original), { recursive: true });
    bindMount(this.at(path), this.at(original), { recursive: true, readOnly: true });
    mount({ source: "tmpfs", target: this.at(path), type: "tmpfs", data: "mode=755" });
    for (const name of readdirSync(this.at(original))) symlinkSync(`${original}/${name}`, `${this.at(path)}/${name}`);
  }
}

function parts(path: string): string[] {
  return path.split("/").filter((part) => part !== "" && part !== ".");
}
