// Builds a container's root by the steps of its launch spec, and makes it this process's root.
import { existsSync, mkdirSync, rmdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import {
  bindMount,
  isErrno,
  MS_NODEV,
  MS_NOEXEC,
  MS_NOSUID,
  MS_RDONLY,
  makeRootSlave,
  mount,
  newMountNamespace,
  pivotRoot,
  unmount,
} from "#linux";
import type { ContainerLaunch, MountFlag, RootStep } from "#runtime";
import { Tree } from "./tree.ts";

const FLAGS: Readonly<Record<MountFlag, number>> = { nosuid: MS_NOSUID, nodev: MS_NODEV, noexec: MS_NOEXEC, readonly: MS_RDONLY };

/** Where the old root is for the moment of the change. */
const OLD_ROOT = "/.old";

export function buildRoot(launch: ContainerLaunch): void {
  newMountNamespace();
  makeRootSlave();
  mount({ source: "tmpfs", target: launch.rootDir, type: "tmpfs", flags: MS_NODEV, data: "mode=755" });
  const tree = new Tree(launch.rootDir);
  for (const step of launch.steps) runStep(tree, step);

  process.chdir(launch.rootDir);
  mkdirSync(`.${OLD_ROOT}`);
  pivotRoot(".", `.${OLD_ROOT}`);
  process.chdir("/");
  // Takes with it what this namespace inherited of the node's mounts.
  unmount(OLD_ROOT, { detach: true });
  rmdirSync(OLD_ROOT);
  if (launch.readonlyRoot) mount({ source: "tmpfs", target: "/", flags: remountFlags(["readonly", "nodev"]) });
}

const MS_REMOUNT = 32;

function remountFlags(flags: readonly MountFlag[]): number {
  return flags.reduce((sum, flag) => sum | FLAGS[flag], MS_REMOUNT);
}

function runStep(tree: Tree, step: RootStep): void {
  switch (step.do) {
    case "dir":
      mkdirSync(tree.place(step.path, "dir"), { recursive: true, ...(step.mode !== undefined && { mode: step.mode }) });
      if (step.mode !== undefined) tree.chmod(step.path, step.mode);
      break;
    case "symlink":
      symlink(tree, step.path, step.target);
      break;
    case "file":
      writeFileSync(tree.place(step.path, "file"), step.text);
      tree.chmod(step.path, step.mode);
      break;
    case "bind":
      bind(tree, step);
      break;
    case "mount":
      mountStep(tree, step);
      break;
    case "mask":
      mask(tree, step.path);
      break;
    case "readonly":
      if (existsSync(tree.at(step.path))) bindMount(tree.at(step.path), tree.at(step.path), { recursive: true, readOnly: true });
      break;
  }
}

function symlink(tree: Tree, path: string, target: string): void {
  const slash = path.lastIndexOf("/");
  const parent = slash === 0 ? tree.at("/") : tree.place(path.slice(0, slash), "dir");
  try {
    symlinkSync(target, `${parent}${path.slice(slash)}`);
  } catch (err) {
    if (!isErrno(err, "EEXIST")) throw err;
  }
}

function bind(tree: Tree, step: RootStep & { do: "bind" }): void {
  const stat = statSync(step.source, { throwIfNoEntry: false });
  if (stat === undefined) {
    if (step.optional === true) return;
    throw new Error(`cannot mount ${step.source} at ${step.path}: there is no such file or directory on the node`);
  }
  const target = tree.place(step.path, stat.isDirectory() ? "dir" : "file");
  try {
    bindMount(step.source, target, { recursive: true, readOnly: step.readonly });
  } catch (err) {
    if (step.optional !== true) throw new Error(`cannot mount ${step.source} at ${step.path}: ${String(err)}`, { cause: err });
  }
}

function mountStep(tree: Tree, step: RootStep & { do: "mount" }): void {
  const target = tree.place(step.path, "dir");
  const flags = step.flags.reduce((sum, flag) => sum | FLAGS[flag], 0);
  try {
    mount({ source: step.type, target, type: step.type, flags, ...(step.data !== undefined && { data: step.data }) });
  } catch (err) {
    if (step.orElse === undefined) throw err;
    if (step.orElse !== "skip") runStep(tree, step.orElse);
  }
}

function mask(tree: Tree, path: string): void {
  const target = tree.at(path);
  const stat = statSync(target, { throwIfNoEntry: false });
  if (stat === undefined) return;
  if (stat.isDirectory()) mount({ source: "tmpfs", target, type: "tmpfs", flags: MS_RDONLY, data: "size=0" });
  else bindMount("/dev/null", target);
}
