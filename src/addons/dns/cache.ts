// Answers of upstreams, kept for as long as they say, and no longer than half a minute. The cluster's own names are never in here:
// they are answered from the index, so that an endpoint that is gone is gone.
import { DNS_RCODE, DNS_TYPE, decodeDnsName } from "#wire";
import { HEADER_BYTES } from "./query.ts";

/** SERVFAIL is remembered this long, so that a broken domain is not asked for without end (RFC 2308 §7.1 allows up to 5 minutes). */
const FAILURE_SECONDS = 5;

interface Entry {
  readonly bytes: Buffer;
  /** Where the records' TTLs are. */
  readonly ttlOffsets: readonly number[];
  readonly storedMs: number;
  readonly expiresMs: number;
  readonly denial: boolean;
}

export interface CacheOptions {
  readonly maxTtlSeconds: number;
  readonly maxEntries: number;
}

export class AnswerCache {
  readonly #options: CacheOptions;
  readonly #entries = new Map<string, Entry>();

  constructor(options: CacheOptions) {
    this.#options = options;
  }

  /** A copy with its TTLs counted down, or undefined. */
  get(key: string, nowMs: number): { readonly bytes: Buffer; readonly denial: boolean } | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    if (nowMs >= entry.expiresMs) {
      this.#entries.delete(key);
      return undefined;
    }
    const bytes = Buffer.from(entry.bytes);
    const age = Math.floor((nowMs - entry.storedMs) / 1000);
    for (const at of entry.ttlOffsets) bytes.writeUInt32BE(Math.max(0, bytes.readUInt32BE(at) - age), at);
    return { bytes, denial: entry.denial };
  }

  set(key: string, bytes: Buffer, nowMs: number): void {
    const found = lifetime(bytes);
    if (found === undefined) return;
    const seconds = Math.min(found.seconds, this.#options.maxTtlSeconds);
    if (seconds <= 0) return;
    this.#entries.delete(key);
    if (this.#entries.size >= this.#options.maxEntries) {
      const [oldest] = this.#entries.keys();
      if (oldest !== undefined) this.#entries.delete(oldest);
    }
    const { ttlOffsets, denial } = found;
    this.#entries.set(key, { bytes: Buffer.from(bytes), ttlOffsets, storedMs: nowMs, expiresMs: nowMs + seconds * 1000, denial });
  }

  /** How many entries there are, expired ones included. */
  sizes(): { readonly success: number; readonly denial: number } {
    let denial = 0;
    for (const entry of this.#entries.values()) if (entry.denial) denial++;
    return { success: this.#entries.size - denial, denial };
  }
}

interface Lifetime {
  readonly seconds: number;
  readonly ttlOffsets: readonly number[];
  readonly denial: boolean;
}

/** How long a reply may be kept; undefined for one that must not be. */
function lifetime(bytes: Buffer): Lifetime | undefined {
  if (bytes.length < HEADER_BYTES) return undefined;
  const truncated = ((bytes[2] ?? 0) & 0x02) !== 0;
  const rcode = (bytes[3] ?? 0) & 0x0f;
  if (truncated || bytes.readUInt16BE(4) !== 1) return undefined;
  if (rcode === DNS_RCODE.SERVFAIL) return { seconds: FAILURE_SECONDS, ttlOffsets: [], denial: true };
  if (rcode !== DNS_RCODE.NOERROR && rcode !== DNS_RCODE.NXDOMAIN) return undefined;
  try {
    return lifetimeOfRecords(bytes, rcode === DNS_RCODE.NXDOMAIN);
  } catch {
    return undefined;
  }
}

/** RFC 2308 §5: without a SOA record a negative answer is not kept. */
function lifetimeOfRecords(bytes: Buffer, nxdomain: boolean): Lifetime | undefined {
  const answers = bytes.readUInt16BE(6);
  const denial = nxdomain || answers === 0;
  const count = answers + bytes.readUInt16BE(8) + bytes.readUInt16BE(10);
  const ttlOffsets: number[] = [];
  let at = decodeDnsName(bytes, HEADER_BYTES).end + 4;
  let seconds = Number.POSITIVE_INFINITY;
  let hasSoa = false;
  for (let i = 0; i < count; i++) {
    const { end } = decodeDnsName(bytes, at);
    const type = bytes.readUInt16BE(end);
    const dataEnd = end + 10 + bytes.readUInt16BE(end + 8);
    if (dataEnd > bytes.length) return undefined;
    if (type !== DNS_TYPE.OPT) {
      ttlOffsets.push(end + 4);
      seconds = Math.min(seconds, bytes.readUInt32BE(end + 4));
    }
    if (type === DNS_TYPE.SOA) {
      hasSoa = true;
      if (denial) seconds = Math.min(seconds, bytes.readUInt32BE(dataEnd - 4));
    }
    at = dataEnd;
  }
  return (denial && !hasSoa) || seconds === Number.POSITIVE_INFINITY ? undefined : { seconds, ttlOffsets, denial };
}
