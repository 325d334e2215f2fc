// A stream out of the machine ends with a mark and the command's exit status: a port of a virtual machine has no end of its own.

export interface MarkedStream {
  push(chunk: Buffer): void;
  /** What is held back because it could have been the beginning of a mark; when the machine is gone without one. */
  flush(): void;
  /** Settles when the mark has been read. */
  readonly status: Promise<number>;
}

/** Passes on to `write`, at once, all that comes before `mark`. */
export function markedStream(mark: string, write: (chunk: Buffer) => void): MarkedStream {
  const { promise, resolve } = Promise.withResolvers<number>();
  let held: Buffer = Buffer.alloc(0);
  let ended = false;
  const pass = (length: number): void => {
    if (length > 0) write(held.subarray(0, length));
    held = held.subarray(length);
  };
  return {
    status: promise,
    flush: () => pass(ended ? 0 : held.length),
    push(chunk) {
      held = Buffer.concat([held, chunk]);
      if (!ended) {
        const at = held.indexOf(mark);
        ended = at >= 0;
        pass(ended ? at : heldFrom(held, mark));
      }
      const status = ended ? /^([0-9]+)\n/.exec(held.subarray(mark.length).toString("latin1"))?.[1] : undefined;
      if (status !== undefined) resolve(Number(status));
    },
  };
}

/** Where the longest suffix of `held` that begins a mark begins. */
function heldFrom(held: Buffer, mark: string): number {
  for (let at = Math.max(0, held.length - mark.length + 1); at < held.length; at++) {
    if (mark.startsWith(held.subarray(at).toString("latin1"))) return at;
  }
  return held.length;
}
