// Pseudo terminals (pts(4), ioctl_tty(2)).
import { constants, openSync } from "node:fs";
import { ioctl } from "./ffi.ts";
import { TIOCGPTN, TIOCSCTTY, TIOCSPTLCK, TIOCSWINSZ } from "./uapi/termios.ts";

export interface TerminalSize {
  readonly rows: number;
  readonly columns: number;
}

/**
 * A new terminal: its master as a descriptor, its slave as a path. Of the devpts that is mounted on `devpts`, which needs a mount with
 * `ptmxmode`; otherwise of the one that /dev/ptmx belongs to.
 */
export function openTerminal(devpts?: string): { readonly master: number; readonly slavePath: string } {
  const master = openSync(devpts === undefined ? "/dev/ptmx" : `${devpts}/ptmx`, constants.O_RDWR | constants.O_NOCTTY);
  const number = new Int32Array(1);
  ioctl(master, TIOCSPTLCK, new Uint8Array(Int32Array.of(0).buffer), "unlock a terminal");
  ioctl(master, TIOCGPTN, new Uint8Array(number.buffer), "read the number of a terminal");
  return { master, slavePath: `${devpts ?? "/dev/pts"}/${number[0]}` };
}

export function setTerminalSize(fd: number, size: TerminalSize): void {
  // struct winsize: rows, columns, and two of pixels that nobody uses.
  ioctl(fd, TIOCSWINSZ, new Uint8Array(Uint16Array.of(size.rows, size.columns, 0, 0).buffer), "set the size of a terminal");
}

/** Makes the terminal that of the calling process, which must lead a session that has none. */
export function setControllingTerminal(fd: number): void {
  ioctl(fd, TIOCSCTTY, 0, "take a terminal as the controlling one");
}
