import type { Chain, Change, Element, SetHeader, Table, TableId } from "#nft";

/**
 * Takes the elements of a large set one by one, so that no list of them is made. Called with the set each time its elements are about
 * to be read, and once more when a reading has to begin anew; undefined: they are listed as others are.
 */
export type OpenSink = (set: SetHeader) => ((element: Element) => void) | undefined;

/** nf_tables of one network namespace. Calls are synchronous. */
export interface NftSocket {
  /**
   * One transaction: all changes, or a `KernelError` and none. Its facts say which change was refused. EMSGSIZE: the changes are
   * more than one send takes (`maxBatchBytes`); without CAP_NET_ADMIN in the first user namespace that is 0.4 MB, see `applyAll`.
   */
  apply(changes: readonly Change[]): void;
  /**
   * Applies groups of changes in order, as many of them in one transaction as fit. Each group happens as a whole. Returns how many
   * transactions it took. Where one is refused, those before it have happened.
   */
  applyAll(groups: readonly (readonly Change[])[]): number;
  /**
   * Everything in a table, as it is at one moment; undefined when there is no such table. `open` is asked about sets without intervals:
   * those whose elements it takes have none in what is returned.
   */
  list(table: TableId, open?: OpenSink): Table | undefined;
  /** The chains of a table with their rules, in less time than `list`; undefined when there is no such table. */
  chains(table: TableId): readonly Chain[] | undefined;
  /** The elements of one set, in no particular order; empty when there is no such set. */
  elements(table: TableId, set: SetHeader): readonly Element[];
  tables(): TableId[];
  /** A number that changes with every transaction of anyone in this namespace. */
  generation(): number;
  /**
   * A number that changes with every transaction in this namespace that is of another process: all sockets of this one count together. For
   * who wants to know whether what was written may be another by now, however much is written here meanwhile.
   */
  generationOfOthers(): number;
  readonly maxBatchBytes: number;
  close(): void;
}
