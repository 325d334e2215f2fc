// Persistent tun and tap devices. They are made through /dev/net/tun, in the namespace of the thread that opens it
// (Documentation/networking/tuntap.rst).
import { closeSync, openSync } from "node:fs";
import { errorCode } from "#base";
import { ioctl } from "../ffi.ts";
import { errnoNumber, KernelError } from "../kernel-error.ts";
import type { NetNs } from "../types.ts";
import { IFNAMSIZ } from "../uapi/if_link.ts";
import { IFF_NO_PI, IFF_TAP, IFF_TUN, TUNSETIFF, TUNSETPERSIST } from "../uapi/if_tun.ts";

function openTunDevice(op: string): number {
  try {
    return openSync("/dev/net/tun", "r+");
  } catch (err) {
    const code = errorCode(err) ?? "EACCES";
    const detail = code === "ENOENT" ? "/dev/net/tun is not there (module tun)" : "/dev/net/tun may not be opened by this user";
    throw new KernelError({ op, errno: errnoNumber(code), detail });
  }
}

export function addTun(ns: NetNs, name: string, mode: "tun" | "tap"): void {
  // struct ifreq: name, then a union of which the flags are the first two bytes.
  const ifreq = Buffer.alloc(40);
  ifreq.write(name, 0, IFNAMSIZ - 1);
  ifreq.writeUInt16LE((mode === "tun" ? IFF_TUN : IFF_TAP) | IFF_NO_PI, IFNAMSIZ);
  ns.run(() => {
    const fd = openTunDevice(`add link "${name}" (${mode})`);
    try {
      ioctl(fd, TUNSETIFF, ifreq, `add link "${name}" (${mode})`);
      ioctl(fd, TUNSETPERSIST, 1, `keep link "${name}" (${mode})`);
    } finally {
      closeSync(fd);
    }
  });
}
