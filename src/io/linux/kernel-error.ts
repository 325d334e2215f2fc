// What a refused system call or netlink request becomes.
import { constants } from "node:os";
import { getSystemErrorMap } from "node:util";
import { errorCode, FairleadError } from "#base";

/** errno.h has two names for some numbers; these are the ones the kernel's own sources use. */
const ALIASES: ReadonlySet<string> = new Set(["EWOULDBLOCK", "ENOTSUP", "EDEADLOCK"]);

const NAMES: ReadonlyMap<number, string> = new Map([
  ...Object.entries(constants.errno)
    .filter(([name]) => !ALIASES.has(name))
    .map(([name, number]) => [number, name] as const),
  // include/linux/errno.h: never meant for user space, and seen there all the same.
  [524, "ENOTSUPP"],
]);

const NUMBERS: ReadonlyMap<string, number> = new Map([...NAMES].map(([number, name]) => [name, number]));

/** Where libuv's text misleads: netlink's EOPNOTSUPP is not about sockets, and its EEXIST not about files. */
const TEXTS: Readonly<Record<string, string>> = {
  EOPNOTSUPP: "not supported by this kernel, or not for this kind of object",
  EEXIST: "it exists already",
};

/** "ENODEV" for 19. */
export function errnoName(errno: number): string {
  return NAMES.get(errno) ?? `E${errno}`;
}

export function errnoNumber(name: string): number {
  return NUMBERS.get(name) ?? 0;
}

export interface KernelErrorInit {
  /** What was attempted, as it reads after "Cannot": `add route 10.244.1.0/24 via 172.18.0.3`. */
  readonly op: string;
  readonly errno: number;
  /** The kernel's own words (netlink extended ack), or what we know of the reason. */
  readonly detail?: string | undefined;
  /** Where in the netlink message the kernel found the fault (NLMSGERR_ATTR_OFFS). */
  readonly offset?: number | undefined;
  readonly facts?: Readonly<Record<string, unknown>>;
}

/** Thrown when the kernel refuses. `code` is the name of the errno. */
export class KernelError extends FairleadError {
  readonly errno: number;
  readonly detail: string | undefined;
  readonly offset: number | undefined;

  constructor(init: KernelErrorInit) {
    const code = errnoName(init.errno);
    const reason = init.detail ?? TEXTS[code] ?? getSystemErrorMap().get(-init.errno)?.[1] ?? "refused by the kernel";
    super(`Cannot ${init.op}: ${reason} (${code})`, { code, op: init.op, facts: init.facts ?? {} });
    this.errno = init.errno;
    this.detail = init.detail;
    this.offset = init.offset;
  }
}

/** Whether `err` (ours or one of Node's own) carries that errno: `isErrno(err, "ENOENT")`. */
export function isErrno(err: unknown, ...names: readonly string[]): boolean {
  const code = errorCode(err);
  return code !== undefined && names.includes(code);
}
