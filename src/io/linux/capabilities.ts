// Giving up privileges before a program is started (capabilities(7)).
import { InputError } from "#base";
import { capset, prctl } from "./ffi.ts";
import { isErrno } from "./kernel-error.ts";
import { _LINUX_CAPABILITY_VERSION_3, CAPABILITIES } from "./uapi/capability.ts";
import { PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS } from "./uapi/wait.ts";

export type Capability = (typeof CAPABILITIES)[number];

/** The number of a capability named with or without "CAP_". */
export function parseCapability(text: string, field = "capability"): Capability {
  const name = text.toUpperCase();
  const found = CAPABILITIES.find((cap) => cap === name || cap === `CAP_${name}`);
  if (found === undefined) throw new InputError(field, `"${text}" is not a capability such as NET_BIND_SERVICE`);
  return found;
}

/**
 * Gives up every capability but `keep`, for this thread and what it executes, for good: root keeps only these across execve.
 * Nothing is inherited by other means (inheritable and ambient sets become empty).
 */
export function dropCapabilities(keep: readonly Capability[]): void {
  const kept = new Set<string>(keep);
  for (const [number, name] of CAPABILITIES.entries()) {
    if (kept.has(name)) continue;
    try {
      prctl(PR_CAPBSET_DROP, number, `drop ${name}`);
    } catch (err) {
      // EINVAL: the kernel is older than this capability.
      if (!isErrno(err, "EINVAL")) throw err;
    }
  }
  clearAmbient();
  const header = new Uint32Array([_LINUX_CAPABILITY_VERSION_3, 0]);
  // struct __user_cap_data_struct[2]: effective, permitted, inheritable; low and high 32 bits.
  const data = new Uint32Array(6);
  for (const name of keep) {
    const number = CAPABILITIES.indexOf(name);
    const word = number < 32 ? 0 : 3;
    const bit = (1 << (number & 31)) >>> 0;
    data[word] = ((data[word] ?? 0) | bit) >>> 0;
    data[word + 1] = ((data[word + 1] ?? 0) | bit) >>> 0;
  }
  capset(new Uint8Array(header.buffer), new Uint8Array(data.buffer));
}

function clearAmbient(): void {
  try {
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, "clear the ambient capabilities");
  } catch (err) {
    if (!isErrno(err, "EINVAL")) throw err;
  }
}

/** From here on execve gives no privileges that the caller has not (set-user-ID programs included). */
export function setNoNewPrivileges(): void {
  prctl(PR_SET_NO_NEW_PRIVS, 1, "set no_new_privs");
}
