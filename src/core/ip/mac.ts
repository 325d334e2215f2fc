import { InputError } from "#base";

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
