// Generic netlink: families have names, and numbers that the kernel gives them when they come.
import { KernelError } from "../kernel-error.ts";
import { CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME, CTRL_CMD_GETFAMILY, GENL_HDRLEN, GENL_ID_CTRL } from "../uapi/genetlink.ts";
import type { NetlinkSocket } from "./socket.ts";
import { MessageWriter } from "./writer.ts";

/** Writes the header of a generic netlink message after `begin`. */
export function putGenericHeader(w: MessageWriter, cmd: number, version: number): void {
  w.putU8(cmd).putU8(version).putU16(0);
}

/**
 * The number of a family. Asking loads the module that provides it (`net-pf-16-proto-16-family-NAME`), which needs the machine's
 * root. Throws ENOENT where the kernel has no such family.
 */
export function resolveFamily(netlink: NetlinkSocket, name: string): number {
  const w = new MessageWriter();
  w.begin(GENL_ID_CTRL, 0);
  putGenericHeader(w, CTRL_CMD_GETFAMILY, 1);
  w.string(CTRL_ATTR_FAMILY_NAME, name).end();
  const op = `find generic netlink family "${name}"`;
  for (const reply of netlink.request(w, op)) {
    const attrs = reply.attrs(GENL_HDRLEN);
    while (attrs.next()) if (attrs.type === CTRL_ATTR_FAMILY_ID) return attrs.u16();
  }
  throw new KernelError({ op, errno: 2, detail: "the answer has no number" });
}
