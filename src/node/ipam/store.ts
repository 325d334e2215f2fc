// The only file of this room that touches the disk. One file per held address, named after it; so `ls` shows what is in use.
//
// Nothing is flushed with fsync: after kill -9 the kernel still has what was written, and after a power failure there are no pods
// left that could use an address twice. What such a failure may leave, a file without content, is removed by the next open.
import { linkSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { errorCode, FairleadError, type Logger } from "#base";
import { formatAddr, tryParseAddr } from "#ip";
import { applyStep, heldBy, planAdd, planDel, planGc } from "./allocate.ts";
import { rangeKey, rangeOf } from "./range.ts";
import type { Ipam, IpamOptions, IpamState, IpamStep, Lease, Owner, Range } from "./types.ts";

const ATTEMPTS = 8;
const UNFINISHED_MS = 60_000;

export function openIpam(options: IpamOptions): Ipam {
  const disk = openDisk(options.dir, options.logger);
  const ranges = options.podCidrs.map(rangeOf);
  let state = disk.load(ranges);

  function apply(steps: readonly IpamStep[]): void {
    for (const step of steps) {
      disk.apply(step);
      applyStep(state, step);
    }
  }

  return {
    ranges,
    add(owner) {
      checkOwner(owner);
      for (let attempt = 1; ; attempt++) {
        const { addrs, steps } = planAdd(state, owner);
        try {
          apply(steps);
          return addrs;
        } catch (err) {
          // Another process took the address since we read the directory: look again.
          if (errorCode(err) !== "EEXIST" || attempt === ATTEMPTS) throw cannot(`hold an address for container ${owner.containerId}`, err);
          state = disk.load(ranges);
        }
      }
    },
    get: (owner) => heldBy(state, owner).map((lease) => lease.addr),
    del(owner) {
      const held = heldBy(state, owner).map((lease) => lease.addr);
      apply(planDel(state, owner));
      return held;
    },
    gc(valid) {
      const before = [...state.leases.values()];
      apply(planGc(state, valid));
      return before.filter((lease) => !state.leases.has(formatAddr(lease.addr)));
    },
    list: () => [...state.leases.values()],
  };
}

interface Disk {
  load(ranges: readonly Range[]): IpamState;
  apply(step: IpamStep): void;
}

function openDisk(dir: string, logger: Logger): Disk {
  const leases = `${dir}/leases`;
  const cursors = `${dir}/cursors`;
  const unfinished = `${dir}/unfinished`;
  try {
    for (const path of [leases, cursors, unfinished]) mkdirSync(path, { recursive: true });
    removeOld(unfinished);
  } catch (err) {
    throw cannot(`open the address store ${dir}`, err);
  }
  let serial = 0;

  /** A file appears under its name only when its content is complete. */
  function publish(content: string, place: (path: string) => void): void {
    const path = `${unfinished}/${process.pid}-${serial++}`;
    writeFileSync(path, content);
    try {
      place(path);
    } finally {
      rmSync(path, { force: true });
    }
  }

  return {
    load: (ranges) => ({ ranges, leases: loadLeases(leases, logger), cursors: loadCursors(cursors, ranges) }),
    apply(step) {
      if (step.step === "release") rmSync(`${leases}/${formatAddr(step.addr)}`, { force: true });
      else if (step.step === "advance") publish(formatAddr(step.addr), (path) => renameSync(path, `${cursors}/${rangeKey(step.range)}`));
      else {
        const { addr, owner } = step.lease;
        // link(2) fails where the name exists: no two processes can hold one address.
        publish(`${owner.containerId}\n${owner.ifName}\n`, (path) => linkSync(path, `${leases}/${formatAddr(addr)}`));
      }
    },
  };
}

/** What a process left that was killed while it wrote; another one may be writing right now. */
function removeOld(dir: string): void {
  for (const name of readdirSync(dir)) {
    const stat = statSync(`${dir}/${name}`, { throwIfNoEntry: false });
    if (stat !== undefined && Date.now() - stat.mtimeMs > UNFINISHED_MS) rmSync(`${dir}/${name}`, { force: true });
  }
}

/** The content, or nothing where another process has removed the file meanwhile. */
function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (err) {
    if (errorCode(err) === "ENOENT") return undefined;
    throw err;
  }
}

function loadLeases(dir: string, logger: Logger): Map<string, Lease> {
  const leases = new Map<string, Lease>();
  for (const name of readdirSync(dir)) {
    const addr = tryParseAddr(name);
    const content = read(`${dir}/${name}`);
    if (content === undefined) continue;
    const [containerId = "", ifName = ""] = content.split("\n");
    if (addr === undefined || containerId === "" || ifName === "") {
      logger.warn("Removed an address file that names no owner", { file: `${dir}/${name}` });
      rmSync(`${dir}/${name}`, { force: true });
    } else leases.set(formatAddr(addr), { addr, owner: { containerId, ifName } });
  }
  return leases;
}

function loadCursors(dir: string, ranges: readonly Range[]): IpamState["cursors"] {
  const cursors: IpamState["cursors"] = new Map();
  for (const key of ranges.map(rangeKey)) {
    const addr = tryParseAddr(read(`${dir}/${key}`) ?? "");
    if (addr !== undefined) cursors.set(key, addr);
  }
  return cursors;
}

/** CNI spec 1.1 §2: a container id starts with an alphanumeric; a newline in either would break the file's format. */
function checkOwner(owner: Owner): void {
  if (/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(owner.containerId) && /^[^\s/:]{1,15}$/.test(owner.ifName)) return;
  throw new FairleadError(`Cannot hold an address for container "${owner.containerId}", interface "${owner.ifName}": not valid names`, {
    code: "BadInput",
    op: "ipam add",
    facts: { ...owner },
  });
}

function cannot(what: string, cause: unknown): FairleadError {
  if (cause instanceof FairleadError) return cause;
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new FairleadError(`Cannot ${what}: ${reason}`, { code: errorCode(cause) ?? "IpamStore", op: "ipam", cause });
}
