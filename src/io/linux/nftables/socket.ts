// nf_tables over netlink: transactions go out as one batch, tables come back as dumps.
import type { Chain, Change, Element, NftSet, Rule, SetHeader, Table, TableId } from "#nft";
import { isErrno, KernelError } from "../kernel-error.ts";
import { type AttrReader, MessageWriter, type NetlinkMessage, NetlinkSocket, type Refusal, splitMessages } from "../netlink/index.ts";
import type { NetNs } from "../types.ts";
import { NETLINK_NETFILTER, NLM_F_DUMP, NLMSG_HDRLEN } from "../uapi/netlink.ts";
import * as n from "../uapi/nf-tables.ts";
import { decodeChain, decodeSet, decodeTable } from "./decode.ts";
import { decodeRule } from "./decode-rule.ts";
import { describe } from "./describe.ts";
import { ElementDecoder } from "./elements.ts";
import { encodeChange } from "./encode.ts";
import { batchMessage, beginMessage, NFGENMSG_LEN } from "./message.ts";
import { type OwnTransactions, ownTransactions } from "./own-transactions.ts";
import type { NftSocket, OpenSink } from "./types.ts";

/** Enough for 300,000 elements in one transaction, where we may ask for it. It is a limit, not an allocation. */
const BUFFER_BYTES: number = 64 << 20;
const BATCH_END_BYTES = 20;
/** A buffer that became larger for one batch is given back. */
const KEPT_BYTES: number = 1 << 20;
const MAX_LIST_RETRIES = 5;
const MAX_REHASH_RETRIES = 200;
const REHASH_PAUSE_MS = 2;
const REHASH_PAUSE: Int32Array = new Int32Array(new SharedArrayBuffer(4));

export interface NftOptions {
  /** One send takes so much, or what we may ask for. */
  readonly bufferBytes?: number;
  /** For tests: what it writes counts as another process's. */
  readonly isStranger?: boolean;
}

/** Opens nf_tables of `ns`, or of the namespace that the calling thread is in. */
export function openNft(ns?: NetNs, { bufferBytes = BUFFER_BYTES, isStranger = false }: NftOptions = {}): NftSocket {
  const socket = new NetlinkSocket(NETLINK_NETFILTER, { ...(ns && { ns }), bufferBytes });
  return new KernelNft(socket, isStranger ? { count: 0 } : ownTransactions(ns));
}

/** Applies changes that begin with a table that is `owned`. It is there until `close`, which others need not wait for. */
export function holdTable(ns: NetNs, changes: readonly Change[]): { close(): Promise<void> } {
  const netlink = new NetlinkSocket(NETLINK_NETFILTER, { ns });
  try {
    new KernelNft(netlink, ownTransactions(ns)).apply(changes);
  } catch (err) {
    netlink.close();
    throw err;
  }
  return { close: () => netlink.closeLater() };
}

/** A change and the numbers of its messages. */
interface Sent {
  readonly change: Change;
  readonly firstSeq: number;
  readonly lastSeq: number;
}

class Batch {
  readonly writer: MessageWriter;
  readonly sent: Sent[] = [];

  constructor(writer: MessageWriter) {
    this.writer = writer;
    batchMessage(this.writer, n.NFNL_MSG_BATCH_BEGIN);
  }

  add(change: Change): void {
    const before = this.writer.lastSeq;
    encodeChange(this.writer, change);
    this.sent.push({ change, firstSeq: before + 1, lastSeq: this.writer.lastSeq });
  }
}

class KernelNft implements NftSocket {
  readonly #socket: NetlinkSocket;
  /** For one batch after another: changes are many and small. */
  #writer: MessageWriter = new MessageWriter(4096);

  readonly #own: OwnTransactions;

  constructor(socket: NetlinkSocket, own: OwnTransactions) {
    this.#socket = socket;
    this.#own = own;
  }

  get maxBatchBytes(): number {
    return this.#socket.maxSendBytes;
  }

  apply(changes: readonly Change[]): void {
    if (changes.length === 0) return;
    this.#writer.reset();
    const batch = new Batch(this.#writer);
    try {
      for (const change of changes) batch.add(change);
      this.#commit(batch);
    } finally {
      if (this.#writer.buffer.length > KEPT_BYTES) this.#writer = new MessageWriter(4096);
    }
  }

  applyAll(groups: readonly (readonly Change[])[]): number {
    let transactions = 0;
    let pending: Change[] = [];
    let size = 0;
    const scratch = new MessageWriter(4096);
    const flush = (): void => {
      if (pending.length === 0) return;
      this.apply(pending);
      transactions++;
      pending = [];
      size = 0;
    };
    for (const group of groups) {
      scratch.reset();
      for (const change of group) encodeChange(scratch, change);
      if (size + scratch.byteLength + 2 * BATCH_END_BYTES > this.maxBatchBytes) flush();
      pending.push(...group);
      size += scratch.byteLength;
    }
    flush();
    return transactions;
  }

  list(table: TableId, open?: OpenSink): Table | undefined {
    for (let attempt = 0; ; attempt++) {
      const before = this.generation();
      const found = this.#listOnce(table, open);
      // The last attempt is taken as it is: whoever applies a difference to it is told by the kernel where it was wrong.
      if (this.generation() === before || attempt >= MAX_LIST_RETRIES) return found;
    }
  }

  elements(table: TableId, set: SetHeader): readonly Element[] {
    try {
      return this.#elements(table, set);
    } catch (err) {
      if (isErrno(err, "ENOENT")) return [];
      throw err;
    }
  }

  tables(): TableId[] {
    const w = new MessageWriter();
    beginMessage(w, n.NFT_MSG_GETTABLE, "inet", NLM_F_DUMP);
    // AF_UNSPEC: tables of all families.
    w.buffer[NLMSG_HDRLEN] = 0;
    w.end();
    return this.#socket.dump(w, (message) => decodeTable(message), "list nftables tables");
  }

  generation(): number {
    const w = new MessageWriter(64);
    beginMessage(w, n.NFT_MSG_GETGEN, "inet");
    w.end();
    const [reply] = this.#socket.request(w, "read the nftables generation");
    const attrs = reply?.attrs(NFGENMSG_LEN);
    return attrs?.next() === true ? attrs.u32be() : 0;
  }

  generationOfOthers(): number {
    return (this.generation() - this.#own.count) >>> 0;
  }

  close(): void {
    this.#socket.close();
  }

  #commit(batch: Batch): void {
    const { writer } = batch;
    batchMessage(writer, n.NFNL_MSG_BATCH_END);
    const before = this.generation();
    const { refused } = this.#socket.send(writer);
    const [first] = refused;
    if (first !== undefined) throw refusalOf(first, batch);
    // A transaction that changes nothing is none.
    if (this.generation() !== before) this.#own.count++;
  }

  #listOnce(table: TableId, open: OpenSink | undefined): Table | undefined {
    const op = `list nftables table ${table.family} ${table.name}`;
    const found = this.#table(table, op);
    if (found === undefined) return undefined;
    const headers = this.#dump(table, n.NFT_MSG_GETSET, op, (message) => decodeSet(message));
    const sets = headers.map((header): NftSet => ({ ...header, elements: this.#elements(table, header, open) }));
    return { ...found, sets, chains: this.#chains(table, headers, op) };
  }

  chains(table: TableId): readonly Chain[] | undefined {
    const op = `list the chains of nftables table ${table.family} ${table.name}`;
    if (this.#table(table, op) === undefined) return undefined;
    return this.#chains(
      table,
      this.#dump(table, n.NFT_MSG_GETSET, op, (message) => decodeSet(message)),
      op,
    );
  }

  #chains(table: TableId, headers: readonly SetHeader[], op: string): Chain[] {
    const byName = new Map(headers.map((header) => [header.name, header]));
    const rules = new Map<string, Rule[]>();
    for (const { chain, rule } of this.#dump(table, n.NFT_MSG_GETRULE, op, (message) => decodeRule(message, byName))) {
      const list = rules.get(chain);
      if (list === undefined) rules.set(chain, [rule]);
      else list.push(rule);
    }
    const chains = this.#dump(table, n.NFT_MSG_GETCHAIN, op, (message) => decodeChain(message, table.name));
    return chains.map((chain) => ({ ...chain, rules: rules.get(chain.name) ?? [] }));
  }

  #table({ family, name }: TableId, op: string): Omit<Table, "sets" | "chains"> | undefined {
    const w = new MessageWriter(128);
    beginMessage(w, n.NFT_MSG_GETTABLE, family);
    w.string(n.NFTA_TABLE_NAME, name).end();
    try {
      const [reply] = this.#socket.request(w, op);
      return reply && decodeTable(reply);
    } catch (err) {
      if (isErrno(err, "ENOENT")) return undefined;
      throw err;
    }
  }

  /** NFTA_*_TABLE is 1 in all of them. A dump of chains ignores it (Linux < 6.1): the decoder looks at the table's name. */
  #dump<T>(table: TableId, type: number, op: string, decode: (message: NetlinkMessage) => T | undefined): T[] {
    const w = new MessageWriter(128);
    beginMessage(w, type, table.family, NLM_F_DUMP);
    w.string(n.NFTA_SET_TABLE, table.name).end();
    return this.#socket.dump(w, decode, op);
  }

  /**
   * A hash set that grew is rehashed in the background, some milliseconds after the transaction. A dump that spans several messages
   * counts how many elements it has passed, so one taken meanwhile repeats some and misses as many (nft_rhash_walk in the kernel's
   * net/netfilter/nft_set_hash.c), and the generation stays as it was. Repeats are the sign of it: read again.
   */
  #elements(table: TableId, header: SetHeader, open?: OpenSink): NftSet["elements"] {
    if (header.key.length === 0) return [];
    for (let attempt = 0; ; attempt++) {
      const sink = header.flags?.includes("interval") === true ? undefined : open?.(header);
      const found = sink === undefined ? this.#dumpElements(table, header) : this.#passElements(table, header, sink);
      if (!found.hasRepeats) return found.elements();
      const op = `list the elements of ${header.name}`;
      if (attempt >= MAX_REHASH_RETRIES)
        throw new KernelError({ op, errno: 4, detail: `it was rehashed during each of ${attempt} readings` });
      Atomics.wait(REHASH_PAUSE, 0, 0, REHASH_PAUSE_MS);
    }
  }

  #dumpElements(table: TableId, header: SetHeader): ElementDecoder {
    // A dump that is disturbed starts again, so elements are collected from what it returns in the end.
    const decoders = this.#eachMessage(table, header, (decoder) => decoder);
    return ElementDecoder.merge(header, decoders);
  }

  /** A dump that is disturbed by a transaction starts again here too; `list` sees then that the generation is another. */
  #passElements(table: TableId, header: SetHeader, sink: (element: Element) => void): Pick<ElementDecoder, "hasRepeats" | "elements"> {
    const seen = new Set<string>();
    let count = 0;
    this.#eachMessage(table, header, (decoder) => {
      count += decoder.addKeys(seen);
      for (const element of decoder.elements()) sink(element);
    });
    return { hasRepeats: seen.size !== count, elements: () => [] };
  }

  #eachMessage<T>(table: TableId, header: SetHeader, take: (decoder: ElementDecoder) => T | undefined): T[] {
    const w = new MessageWriter(128);
    beginMessage(w, n.NFT_MSG_GETSETELEM, table.family, NLM_F_DUMP);
    w.string(n.NFTA_SET_ELEM_LIST_TABLE, table.name).string(n.NFTA_SET_ELEM_LIST_SET, header.name).end();
    const decode = (message: NetlinkMessage): T | undefined => {
      const decoder = new ElementDecoder(header);
      decoder.add(message.attrs(NFGENMSG_LEN));
      return take(decoder);
    };
    return this.#socket.dump(w, decode, `list the elements of ${header.name}`);
  }
}

function refusalOf(refusal: Refusal, batch: Batch): Error {
  const sent = batch.sent.find(({ firstSeq, lastSeq }) => refusal.seq >= firstSeq && refusal.seq <= lastSeq);
  if (sent === undefined) return new KernelError({ op: "apply an nftables transaction", ...refusal });
  const { change } = sent;
  const op = describe(change, elementAt(batch.writer, refusal, sent));
  const { errno, detail, offset } = refusal;
  return new KernelError({ op, errno, detail, offset, facts: { change: change.op, table: change.table } });
}

/** Which element the kernel pointed at, counted from the first of the change. */
function elementAt(writer: MessageWriter, refusal: Refusal, sent: Sent): number | undefined {
  if (refusal.offset === undefined) return undefined;
  let index = 0;
  for (const message of splitMessages(writer.buffer, writer.byteLength)) {
    if (message.seq < sent.firstSeq || message.seq > refusal.seq) continue;
    const attrs = message.attrs(NFGENMSG_LEN);
    while (attrs.next()) {
      if (attrs.type !== n.NFTA_SET_ELEM_LIST_ELEMENTS) continue;
      const list = attrs.nested();
      while (list.next()) {
        if (message.seq === refusal.seq && message.start + refusal.offset < list.stop) return index;
        if (!isIntervalEnd(list)) index++;
      }
    }
  }
  return undefined;
}

function isIntervalEnd(element: AttrReader): boolean {
  const attrs = element.nested();
  while (attrs.next()) if (attrs.type === n.NFTA_SET_ELEM_FLAGS) return (attrs.u32be() & n.NFT_SET_ELEM_INTERVAL_END) !== 0;
  return false;
}
