// What a table in the kernel says: the numbers of backends, and of service ports that remember their clients. The backends are most of
// the table, so they are taken one by one as they are read, and only what tells them apart is kept: where they are, and whose.
import { type Addr, FAMILIES, type Family, formatAddrPort } from "#ip";
import { type Change, type Element, formatSetHeader, type SetHeader, type Table } from "#nft";
import { frontendKey } from "../compile.ts";
import type { Numbered, Placed } from "./elements.ts";
import { FIRST_NUMBER, SCOPES, type Scope, SETS, TABLE } from "./layout.ts";
import { ownerIn } from "./on-demand.ts";
import type { OwnerNumbers } from "./owners.ts";

/** The numbers that the kernel has for a frontend. */
interface Found extends Numbered {
  readonly addr: Addr;
  readonly protocol: number;
  readonly port: number;
  /** Of all its backends; undefined: they do not have the same. */
  comment: string | undefined;
  readonly all: string[];
  readonly inside: string[];
}

export class Reading {
  /** By frontend key. */
  readonly #backends: Readonly<Record<Family, Map<string, Found>>> = { 4: new Map(), 6: new Map() };
  /** Elements among the backends that are none. */
  readonly #strays: Readonly<Record<Family, Element[]>> = { 4: [], 6: [] };
  readonly #owners = new Map<string, Partial<Record<Scope, number>>>();

  /** Takes the backends of one family, and forgets what it has of an earlier reading; undefined: the set is not theirs. */
  open(set: SetHeader): ((element: Element) => void) | undefined {
    const family = FAMILIES.find((each) => SETS[each].endpoints.name === set.name);
    // A map of another kind is made anew.
    if (family === undefined || formatSetHeader(SETS[family].endpoints) !== formatSetHeader(set)) return undefined;
    this.#backends[family].clear();
    this.#strays[family].length = 0;
    return (element) => {
      if (!this.#take(family, element)) this.#strays[family].push(element);
    };
  }

  /** Takes the numbers of service ports, which are few. */
  readOwners(table: Table): void {
    for (const { name, elements } of table.sets) {
      if (FAMILIES.some((family) => SETS[family].services.name === name)) for (const each of elements) this.#readOwner(each, "all");
      if (FAMILIES.some((family) => SETS[family].inside.name === name)) for (const each of elements) this.#readOwner(each, "inside");
    }
  }

  of(key: string): Numbered | undefined {
    return this.#backends[4].get(key) ?? this.#backends[6].get(key);
  }

  ownersOf(key: string): OwnerNumbers | undefined {
    return this.#owners.get(key);
  }

  /** Numbers of service ports that are in use: in the rules of `table`, or by clients that are remembered. */
  owners(table: Table): Set<number> {
    const numbers = new Set([...this.#owners.values()].flatMap((owners) => Object.values(owners)));
    for (const set of table.sets) {
      if (set.flags?.includes("dynamic") !== true) continue;
      for (const { key } of set.elements) if (typeof key[2] === "number") numbers.add(key[2]);
    }
    return numbers;
  }

  /** The steps that remove the backends that are not where `placed` has them. */
  removals(placed: Iterable<Placed>): Change[] {
    const wanted = new Map([...placed].map((each) => [each.frontend.key, each]));
    return FAMILIES.flatMap((family): Change[] => {
      const elements = [...this.#strays[family]];
      for (const [key, found] of this.#backends[family]) elements.push(...surplus(found, wanted.get(key)));
      return elements.length === 0 ? [] : [{ op: "delete elements", table: TABLE, set: SETS[family].endpoints, elements }];
    });
  }

  #take(family: Family, { key: [addr, protocol, port, index], data, comment }: Element): boolean {
    if (!isAddr(addr) || typeof protocol !== "number" || typeof port !== "number" || typeof index !== "number") return false;
    if (data === undefined || "kind" in data || index >= 2 * FIRST_NUMBER.inside) return false;
    const [backend, backendPort] = data;
    if (!isAddr(backend) || typeof backendPort !== "number") return false;
    const key = frontendKey(addr, protocol, port);
    let found = this.#backends[family].get(key);
    if (found === undefined) {
      found = { addr, protocol, port, comment, all: [], inside: [] };
      this.#backends[family].set(key, found);
    }
    if (found.comment !== comment) found.comment = undefined;
    const scope = index < FIRST_NUMBER.inside ? "all" : "inside";
    found[scope][index - FIRST_NUMBER[scope]] = formatAddrPort(backend, backendPort);
    return true;
  }

  #readOwner({ key: [addr, protocol, port], data }: Element, scope: Scope): void {
    if (!isAddr(addr) || typeof protocol !== "number" || typeof port !== "number") return;
    if (data === undefined || !("kind" in data) || !("chain" in data)) return;
    const number = ownerIn(data.chain);
    if (number === undefined) return;
    const key = frontendKey(addr, protocol, port);
    this.#owners.set(key, { ...this.#owners.get(key), [scope]: number });
  }
}

function surplus(found: Found, placed: Placed | undefined): Element[] {
  const { addr, protocol, port } = found;
  const isSame = placed !== undefined && found.comment === placed.comment;
  return SCOPES.flatMap((scope) =>
    found[scope].flatMap((id, i): Element[] => {
      if (isSame && placed[scope][i]?.id === id) return [];
      return [{ key: [addr, protocol, port, FIRST_NUMBER[scope] + i] }];
    }),
  );
}

type Part = Element["key"][number];

function isAddr(part: Part | undefined): part is Addr {
  return typeof part === "object" && "family" in part;
}
