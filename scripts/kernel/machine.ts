// Boots a virtual machine with another kernel on this host's tree, runs one command in it, and ends it. However that goes, and also
// when this process is killed, nothing of the machine is left: its processes end with their parent (PR_SET_PDEATHSIG).
import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type MarkedStream, markedStream } from "./end-mark.ts";
import type { Image } from "./image.ts";
import { type Command, initramfs } from "./initramfs.ts";

export interface MachineOptions {
  /** From the start of qemu to the end of the command. */
  readonly timeoutMs: number;
  readonly memoryMiB: number;
  readonly cpus: number;
  /** As qemu's -machine accel=: what comes first and works is used. */
  readonly accel: string;
  readonly stdout: (chunk: Buffer) => void;
  readonly stderr: (chunk: Buffer) => void;
  /** Ends the machine; `runInMachine` then throws its reason. */
  readonly signal: AbortSignal;
}

/** With panic=-1 a panic reboots, and with qemu's -no-reboot that ends qemu. */
const KERNEL_ARGUMENTS = "console=ttyS0 loglevel=4 panic=-1 oops=panic mitigations=off random.trust_cpu=on";

/** How much of the console is told when a machine fails. */
const CONSOLE_TAIL = 8192;

class Console {
  #text = "";

  push(chunk: Buffer): void {
    this.#text = (this.#text + chunk.toString("latin1")).slice(-CONSOLE_TAIL);
  }

  tail(): string {
    const text = this.#text.replaceAll("\r", "").trim();
    return text === "" ? "(its console says nothing)" : text;
  }
}

/** Detached: Ctrl-C is for this process, which then ends it. */
function start(argv: readonly string[], cwd: string, console: Console): ChildProcess {
  const child = spawn("setpriv", ["--pdeathsig", "KILL", "--", ...argv], { cwd, stdio: ["ignore", "pipe", "pipe"], detached: true });
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (chunk: Buffer) => console.push(chunk));
  return child;
}

/** Rejects when the process ends or cannot be started. */
async function untimelyEnd(child: ChildProcess, name: string): Promise<never> {
  const [code, signal] = await once(child, "close");
  throw new Error(`${name} ended (${signal ?? `exit status ${code}`}) before the command did`);
}

/** Flag of /proc/net/unix (include/linux/net.h). */
const SO_ACCEPTCON = "00010000";

async function listening(path: string, signal: AbortSignal): Promise<void> {
  const isListening = (line: string): boolean => line.endsWith(` ${path}`) && line.includes(SO_ACCEPTCON);
  while (!readFileSync("/proc/net/unix", "latin1").split("\n").some(isListening)) await delay(5, undefined, { signal });
}

async function streamServer(path: string, stream: MarkedStream): Promise<Server> {
  const server = createServer((socket) => {
    socket.on("data", (chunk) => stream.push(chunk));
    socket.on("error", () => socket.destroy());
  });
  server.listen(path);
  await once(server, "listening");
  return server;
}

function qemuArguments(image: Image, { memoryMiB, cpus, accel }: MachineOptions): string[] {
  const options = [
    "-nodefaults -no-user-config -no-reboot -display none -serial stdio",
    `-machine q35,accel=${accel},memory-backend=mem -cpu max -smp ${cpus} -m ${memoryMiB}M`,
    // virtiofsd reads requests from the machine's memory and writes answers to it.
    `-object memory-backend-memfd,id=mem,size=${memoryMiB}M,share=on`,
    "-chardev socket,id=tree,path=tree -device vhost-user-fs-pci,chardev=tree,tag=host",
    "-device virtio-serial-pci",
    "-chardev socket,id=stdout,path=stdout -device virtserialport,chardev=stdout,name=stdout,nr=1",
    "-chardev socket,id=stderr,path=stderr -device virtserialport,chardev=stderr,name=stderr,nr=2",
    `-initrd initramfs`,
  ];
  return [...options.flatMap((line) => line.split(" ")), "-kernel", image.vmlinuz, "-append", KERNEL_ARGUMENTS];
}

/** The exit status of the command. Throws what went wrong with the machine, with the end of its console. */
export async function runInMachine(image: Image, command: Command, options: MachineOptions): Promise<number> {
  const dir = mkdtempSync(join(tmpdir(), "fairlead-kernel-"));
  const console = new Console();
  const mark = `\x1e${randomUUID()} `;
  const out = markedStream(mark, options.stdout);
  const err = markedStream(mark, options.stderr);
  const limit = AbortSignal.timeout(options.timeoutMs);
  const stop = AbortSignal.any([limit, options.signal]);
  const done = new AbortController();
  const children: ChildProcess[] = [];
  const servers: Server[] = [];
  const clear = (): void => {
    for (const child of children) child.kill("SIGKILL");
    rmSync(dir, { recursive: true, force: true });
  };
  process.once("exit", clear);
  try {
    options.signal.throwIfAborted();
    writeFileSync(`${dir}/initramfs`, initramfs(image, command, mark));
    servers.push(await streamServer(`${dir}/stdout`, out), await streamServer(`${dir}/stderr`, err));
    const virtiofsd = [image.virtiofsd, `--socket-path=${dir}/tree`, "-o", "source=/", "-o", "sandbox=chroot", "-o", "cache=always"];
    const share = start([...virtiofsd, "-o", "log_level=warn"], dir, console);
    children.push(share);
    const shareEnd = untimelyEnd(share, "virtiofsd");
    const stopped = once(stop, "abort").then(() => Promise.reject(stop.reason));
    await Promise.race([listening(`${dir}/tree`, done.signal), shareEnd, stopped]);
    const qemu = start([image.qemu, ...qemuArguments(image, options)], dir, console);
    children.push(qemu);
    const [status] = await Promise.race([Promise.all([out.status, err.status]), untimelyEnd(qemu, "qemu"), stopped]);
    return status;
  } catch (cause) {
    if (options.signal.aborted) throw cause;
    const what = limit.aborted
      ? `it was not done after ${options.timeoutMs / 1000} s`
      : String(cause instanceof Error ? cause.message : cause);
    throw new Error(`Cannot run ${command.argv[0]} in kernel ${image.release}: ${what}. The end of the console:\n${console.tail()}`, {
      cause,
    });
  } finally {
    done.abort();
    out.flush();
    err.flush();
    for (const server of servers) server.close();
    clear();
    process.removeListener("exit", clear);
  }
}
