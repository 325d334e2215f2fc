import type { Store } from "#store";
import type { ObjectVersion } from "../registry/version.ts";
import { WatchHub } from "./hub.ts";
import type { WatchStream } from "./stream.ts";

// apiserver `storage/cacher/cacher.go` defaultBookmarkFrequency
const BOOKMARK_MS = 60_000;

/** All watches that are open: they get bookmarks together, and end together when the server stops. */
export class Watches {
  readonly hub: WatchHub;
  readonly #streams = new Set<WatchStream>();
  readonly #timer: NodeJS.Timeout;

  constructor(store: Store<ObjectVersion>) {
    this.hub = new WatchHub(store);
    this.#timer = setInterval(() => {
      for (const stream of this.#streams) stream.bookmark(store.revision);
    }, BOOKMARK_MS);
    this.#timer.unref();
  }

  add(stream: WatchStream): void {
    this.#streams.add(stream);
  }

  remove(stream: WatchStream): void {
    this.#streams.delete(stream);
  }

  close(): void {
    clearInterval(this.#timer);
    for (const stream of this.#streams) stream.end();
  }
}
