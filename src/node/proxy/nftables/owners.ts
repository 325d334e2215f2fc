// Service ports that remember their clients, by number. All frontends of a service port in one family remember as one: a client has the
// same backend at the ClusterIP and at a NodePort. Only traffic policy Local keeps its own memory, since its backends are others.
import type { Frontend } from "../types.ts";
import type { Scope } from "./layout.ts";

/** Who remembers the clients of each of a frontend's lists. */
export type OwnerNumbers = Readonly<Partial<Record<Scope, number>>>;

const NOBODY: OwnerNumbers = {};

interface Use {
  readonly frontend: Frontend;
  readonly scope: Scope;
}

export interface Owner {
  readonly number: number;
  readonly group: string;
  /** By scope and frontend key. */
  readonly uses: Map<string, Use>;
}

export class Owners {
  readonly #byGroup = new Map<string, Owner>();
  readonly #byNumber = new Map<number, Owner>();
  /** Numbers that are not given out: some other frontend may be about to claim them as known, or clients are remembered under them. */
  readonly #avoid: ReadonlySet<number>;
  readonly #free: number[] = [];
  #next = 0;

  constructor(avoid: ReadonlySet<number> = new Set()) {
    this.#avoid = avoid;
  }

  /** `known`: the numbers that the kernel has for this frontend; it keeps them where nobody else has them. */
  claim(frontend: Frontend, known: OwnerNumbers = NOBODY): OwnerNumbers {
    if (frontend.affinitySeconds === undefined) return NOBODY;
    const all = this.#use({ frontend, scope: "all" }, known.all);
    return frontend.inside === undefined ? { all } : { all, inside: this.#use({ frontend, scope: "inside" }, known.inside) };
  }

  /** Gives back what this very frontend has claimed. Its successor under the same key claims before. */
  release(frontend: Frontend): void {
    if (frontend.affinitySeconds === undefined) return;
    for (const scope of ["all", "inside"] as const) {
      const use: Use = { frontend, scope };
      const owner = this.#byGroup.get(groupOf(use));
      if (owner?.uses.get(idOf(use))?.frontend !== frontend) continue;
      owner.uses.delete(idOf(use));
      if (owner.uses.size > 0) continue;
      this.#byGroup.delete(owner.group);
      this.#byNumber.delete(owner.number);
      this.#free.push(owner.number);
    }
  }

  get(number: number): Owner | undefined {
    return this.#byNumber.get(number);
  }

  #use(use: Use, known: number | undefined): number {
    const group = groupOf(use);
    let owner = this.#byGroup.get(group);
    if (owner === undefined) {
      const number = known === undefined || this.#byNumber.has(known) ? this.#unused() : known;
      owner = { number, group, uses: new Map() };
      this.#byGroup.set(group, owner);
      this.#byNumber.set(number, owner);
    }
    owner.uses.set(idOf(use), use);
    return owner.number;
  }

  #unused(): number {
    const freed = this.#free.shift();
    if (freed !== undefined) return freed;
    while (this.#byNumber.has(this.#next) || this.#avoid.has(this.#next)) this.#next++;
    return this.#next++;
  }
}

function groupOf({ frontend: { family, protocol, service, policy }, scope }: Use): string {
  return `${family} ${protocol} ${scope === "inside" ? "Cluster" : (policy ?? "Cluster")} ${service}`;
}

function idOf({ frontend, scope }: Use): string {
  return `${scope} ${frontend.key}`;
}

/** The frontend that stands for all: a ClusterIP where there is one, and always the same. */
export function firstOf({ uses }: Owner): Frontend | undefined {
  const rank = ({ kind, key }: Frontend): string => `${kind === "ClusterIP" ? 0 : 1} ${key}`;
  return [...uses.values()].map(({ frontend }) => frontend).sort((a, b) => (rank(a) < rank(b) ? -1 : 1))[0];
}

/** Ids of all backends to which a remembered client may go. */
export function backendIds({ uses }: Owner): ReadonlySet<string> {
  const lists = [...uses.values()].map(({ frontend, scope }) => (scope === "all" ? frontend.backends : (frontend.inside ?? [])));
  return new Set(lists.flat().map(({ id }) => id));
}
