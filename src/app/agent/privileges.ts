// What this process may do to the network of its machine.
import { readFileSync } from "node:fs";
import { FairleadError } from "#base";
import { CAPABILITIES } from "#linux";

/** Throws FairleadError without CAP_NET_ADMIN: every step would fail with EPERM, one by one. */
export function requireNetAdmin(): void {
  const text = readFileSync("/proc/self/status", "utf8");
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(text)?.[1] ?? "0"}`);
  if ((effective >> BigInt(CAPABILITIES.indexOf("CAP_NET_ADMIN"))) & 1n) return;
  throw new FairleadError(
    "this process may not change the network of this machine (it lacks CAP_NET_ADMIN). Run it as root, or give its container the capability NET_ADMIN",
    { code: "EPERM" },
  );
}
