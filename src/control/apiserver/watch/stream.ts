// One client's watch: what was there, then what happens, in order; bookmarks; an end.
import type { ServerResponse } from "node:http";
import type { Selection } from "../registry/select.ts";
import type { Change, ChangeType } from "./change.ts";
import type { LineEncoder } from "./encode.ts";

/** A client that is this far behind is cut off and lists again (kube-apiserver ends slow watchers too). */
const MAX_BACKLOG_BYTES = 8 * 1024 * 1024;

export interface StreamOptions {
  readonly selection: Selection;
  readonly encoder: LineEncoder;
  readonly bookmarks: boolean;
}

export class WatchStream {
  readonly #res: ServerResponse;
  readonly #options: StreamOptions;
  /** While the initial objects are being sent, changes wait here. */
  #waiting: Change[] | undefined = [];

  constructor(res: ServerResponse, options: StreamOptions) {
    this.#res = res;
    this.#options = options;
  }

  /** Changes may come from now on; until `live` they are held back. */
  readonly listener = (changes: readonly Change[]): void => {
    if (this.#waiting === undefined) this.#send(changes);
    else this.#waiting.push(...changes);
  };

  /** The initial objects are out. */
  live(): void {
    const waiting = this.#waiting ?? [];
    this.#waiting = undefined;
    if (waiting.length > 0) this.#send(waiting);
  }

  /** Nothing older than `revision` will come: a client may resume there. */
  bookmark(revision: number): void {
    if (this.#options.bookmarks && this.#waiting === undefined) this.write(this.#options.encoder.bookmark(revision, false));
  }

  write(bytes: Uint8Array): boolean {
    if (this.#res.writableEnded || this.#res.destroyed) return true;
    const more = this.#res.write(bytes);
    if (this.#res.writableLength > MAX_BACKLOG_BYTES) this.#res.destroy();
    return more;
  }

  end(): void {
    this.#res.end();
  }

  #send(changes: readonly Change[]): void {
    const lines: Buffer[] = [];
    for (const change of changes) {
      const type = this.#typeOf(change);
      if (type !== undefined) lines.push(this.#options.encoder.change(type, change));
    }
    const [first, second] = lines;
    if (first !== undefined) this.write(second === undefined ? first : Buffer.concat(lines));
  }

  /** An object that begins to match is added, one that stops to match is deleted (apiserver `storage/cacher/cache_watcher.go`). */
  #typeOf({ key, current, previous }: Change): ChangeType | undefined {
    const { selection } = this.#options;
    if (!key.startsWith(selection.prefix)) return undefined;
    const is = current !== undefined && (selection.everything || selection.matches(current.object));
    const was = previous !== undefined && (selection.everything || selection.matches(previous.object));
    if (is) return was ? "MODIFIED" : "ADDED";
    return was ? "DELETED" : undefined;
  }
}
