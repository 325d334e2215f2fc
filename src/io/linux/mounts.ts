// Mount namespaces and mounts, for programs that prepare a container and then execute it. They act on the calling thread, which
// leaves the file system context that it shared with the other threads of the process (unshare(2), CLONE_FS): only for programs
// that end in execve.
import { closeSync, openSync } from "node:fs";
import { mount, mountSetattr, setns, umount, unshare } from "./ffi.ts";
import { AT_RECURSIVE, MNT_DETACH, MOUNT_ATTR_RDONLY, MS_BIND, MS_PRIVATE, MS_REC, MS_SLAVE } from "./uapi/mount.ts";
import { CLONE_FS, CLONE_NEWNS } from "./uapi/sched.ts";

export { type MountRequest, mount, pivotRoot, sethostname } from "./ffi.ts";

/** Moves the calling thread into a copy of its mount namespace. */
export function newMountNamespace(): void {
  unshare(CLONE_NEWNS);
}

/** Moves the calling thread into the mount namespace of a process. Root and working directory become that namespace's root. */
export function joinMountNamespace(pid: number): void {
  const fd = openSync(`/proc/${pid}/ns/mnt`, "r");
  try {
    unshare(CLONE_FS);
    setns(fd, CLONE_NEWNS);
  } finally {
    closeSync(fd);
  }
}

/** Moves the calling thread into the namespace that `fd` is open on. `type` is a CLONE_NEW* flag, or 0 for any kind. */
export function setnsFd(fd: number, type = 0): void {
  setns(fd, type);
}

/** Mounts and unmounts here are seen nowhere else, and those made elsewhere not here. */
export function makeRootPrivate(): void {
  mount({ source: "none", target: "/", flags: MS_REC | MS_PRIVATE });
}

/**
 * Mounts and unmounts here are seen nowhere else; unmounts elsewhere happen here too. Without that a copy of a mount namespace
 * keeps alive what is bound to files in it: network namespaces, volumes.
 */
export function makeRootSlave(): void {
  mount({ source: "none", target: "/", flags: MS_REC | MS_SLAVE });
}

export function bindMount(
  source: string,
  target: string,
  options: { readonly recursive?: boolean; readonly readOnly?: boolean } = {},
): void {
  const recursive = options.recursive ?? false;
  mount({ source, target, flags: MS_BIND | (recursive ? MS_REC : 0) });
  if (options.readOnly === true) mountSetattr(target, recursive ? AT_RECURSIVE : 0, { set: MOUNT_ATTR_RDONLY });
}

/** Makes `path` and every mount below it read-only. */
export function mountSetAttrReadonlyRecursive(path: string): void {
  mountSetattr(path, AT_RECURSIVE, { set: MOUNT_ATTR_RDONLY });
}

/** Unmounts `target`; `detach` (MNT_DETACH) takes it out of sight at once even where it is busy. */
export function unmount(target: string, options: { readonly detach?: boolean } = {}): void {
  umount(target, options.detach === true ? MNT_DETACH : 0);
}
