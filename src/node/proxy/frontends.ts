// Which frontends there should be: what each Service asks for, and who wins where two ask for the same.
import type { Frontend } from "./types.ts";

/** Two frontends with one key. */
export interface Conflict {
  readonly winner: Frontend;
  readonly loser: Frontend;
}

export class Frontends {
  readonly #byService = new Map<string, readonly Frontend[]>();
  /** All who ask for a key, the winner first. */
  readonly #claims = new Map<string, readonly Frontend[]>();
  /** What has been told, by key. */
  readonly #conflicts = new Map<string, ReadonlySet<string>>();

  /** Replaces what a Service (`namespace/name`) asks for, and returns the keys that this touches. */
  set(service: string, frontends: readonly Frontend[]): ReadonlySet<string> {
    const touched = new Set<string>();
    for (const old of this.#byService.get(service) ?? []) {
      touched.add(old.key);
      this.#withdraw(old);
    }
    for (const frontend of frontends) {
      touched.add(frontend.key);
      this.#claim(frontend);
    }
    if (frontends.length === 0) this.#byService.delete(service);
    else this.#byService.set(service, frontends);
    return touched;
  }

  /** The frontend that holds the key. */
  get(key: string): Frontend | undefined {
    return this.#claims.get(key)?.[0];
  }

  /** Of these keys, who lost to an older Service, each once for as long as it stays so. */
  newConflicts(keys: Iterable<string>): Conflict[] {
    const out: Conflict[] = [];
    for (const key of keys) {
      const [winner, ...losers] = this.#claims.get(key) ?? [];
      const known = this.#conflicts.get(key);
      const now = new Set(losers.map((loser) => `${loser.service} < ${winner?.service}`));
      if (now.size === 0) this.#conflicts.delete(key);
      else this.#conflicts.set(key, now);
      if (winner === undefined) continue;
      for (const loser of losers) if (known?.has(`${loser.service} < ${winner.service}`) !== true) out.push({ winner, loser });
    }
    return out;
  }

  keys(): MapIterator<string> {
    return this.#claims.keys();
  }

  services(): MapIterator<string> {
    return this.#byService.keys();
  }

  get size(): number {
    return this.#claims.size;
  }

  #withdraw(frontend: Frontend): void {
    const rest = (this.#claims.get(frontend.key) ?? []).filter((other) => other !== frontend);
    if (rest.length === 0) this.#claims.delete(frontend.key);
    else this.#claims.set(frontend.key, rest);
  }

  #claim(frontend: Frontend): void {
    const others = this.#claims.get(frontend.key);
    this.#claims.set(frontend.key, others === undefined ? [frontend] : [...others, frontend].sort(older));
  }
}

/** The same order on every node and after every restart. */
function older(a: Frontend, b: Frontend): number {
  // A ClusterIP is the cluster's to give: nobody takes it over by naming it as an external address (CVE-2020-8554).
  if ((a.kind === "ClusterIP") !== (b.kind === "ClusterIP")) return a.kind === "ClusterIP" ? -1 : 1;
  if (a.since !== b.since) return a.since < b.since ? -1 : 1;
  return a.service < b.service ? -1 : a.service > b.service ? 1 : 0;
}
