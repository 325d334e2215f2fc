import { InputError } from "#base";
import type { Addr } from "./addr.ts";

/** A link-layer address: six bytes, never changed after they were made. */
export type Mac = Uint8Array;

export function parseMac(text: string, field = "mac"): Mac {
  if (!/^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$/.test(text))
    throw new InputError(field, `"${text}" is not a MAC address such as 02:00:0a:f4:01:02`);
  return Uint8Array.from(text.split(":"), (part) => Number.parseInt(part, 16));
}

export function formatMac(mac: Mac): string {
  return Array.from(mac, (byte) => byte.toString(16).padStart(2, "0")).join(":");
}

/**
 * A unicast, locally administered MAC (IEEE 802 §8.4) that follows from an address, so that it is the same whenever it is made again:
 * `02:<tag>:` and the IPv4 address, or 32 bits of FNV-1a over an IPv6 address.
 */
export function macOfAddr(addr: Addr, tag: number): Mac {
  const mac = new Uint8Array(6);
  mac.set([0x02, tag & 0xff]);
  if (addr.family === 4) mac.set(addr.bytes, 2);
  else new DataView(mac.buffer).setUint32(2, fnv1a(addr.bytes));
  return mac;
}

function fnv1a(bytes: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}
