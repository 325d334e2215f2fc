// Persistent tun and tap devices. They are made through /dev/net/tun, in the namespace of the thread that opens it
// (Documentation/networking/tuntap.rst).
import { closeSync, openSync } from "node:fs";
import { ioctl } from "../ffi.ts";
import type { NetNs } from "../types.ts";
import { IFNAMSIZ } from "../uapi/if_link.ts";
import { IFF_NO_PI, IFF_TAP, IFF_TUN, TUNSETIFF, TUNSETPERSIST } from "../uapi/if_tun.ts";

export function addTun(ns: NetNs, name: string, mode: "tun" | "tap"): void {
  // struct ifreq: name, then a union of which the flags are the first two bytes.
  const ifreq = Buffer.alloc(40);
  ifreq.write(name, 0, IFNAMSIZ - 1);
  ifreq.writeUInt16LE((mode === "tun" ? IFF_TUN : IFF_TAP) | IFF_NO_PI, IFNAMSIZ);
  ns.run(() => {
    const fd = openSync("/dev/net/tun", "r+");
    try {
      ioctl(fd, TUNSETIFF, ifreq, `add link "${name}" (${mode})`);
      ioctl(fd, TUNSETPERSIST, 1, `keep link "${name}" (${mode})`);
    } finally {
      closeSync(fd);
    }
  });
}
