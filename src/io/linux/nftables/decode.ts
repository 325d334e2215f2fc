// Dumps of tables, chains and sets as data.
import type { BaseChain, Chain, Datatype, Hook, SetFlag, SetHeader, TableId } from "#nft";
import { DATATYPES, keyBytes } from "#nft";
import type { AttrReader, NetlinkMessage } from "../netlink/index.ts";
import * as n from "../uapi/nf-tables.ts";
import { TYPE_IDS } from "./encode.ts";
import { familyOf, NFGENMSG_LEN } from "./message.ts";
import { decodeComment, decodeSetComment } from "./userdata.ts";

export interface DecodedTable extends TableId {
  readonly comment?: string;
}

export function decodeTable(message: NetlinkMessage): DecodedTable | undefined {
  const attrs = message.attrs(NFGENMSG_LEN);
  const family = familyOf(message.buf[message.payload] ?? 0);
  let name: string | undefined;
  let comment: string | undefined;
  while (attrs.next()) {
    if (attrs.type === n.NFTA_TABLE_NAME) name = attrs.string();
    else if (attrs.type === n.NFTA_TABLE_USERDATA) comment = decodeComment(attrs.bytes());
  }
  if (family === undefined || name === undefined) return undefined;
  return { family, name, ...(comment !== undefined && { comment }) };
}

/** A chain without its rules; undefined when it is another table's. */
export function decodeChain(message: NetlinkMessage, table: string): Omit<Chain, "rules"> | undefined {
  const attrs = message.attrs(NFGENMSG_LEN);
  let name = "";
  let comment: string | undefined;
  let hook: { number: number; priority: number; device?: string } | undefined;
  let type: BaseChain["type"] = "filter";
  let policy: BaseChain["policy"] = "accept";
  while (attrs.next()) {
    switch (attrs.type) {
      case n.NFTA_CHAIN_TABLE:
        if (attrs.string() !== table) return undefined;
        break;
      case n.NFTA_CHAIN_NAME:
        name = attrs.string();
        break;
      case n.NFTA_CHAIN_HOOK:
        hook = decodeHook(attrs.nested());
        break;
      case n.NFTA_CHAIN_TYPE: {
        const text = attrs.string();
        type = text === "nat" || text === "route" ? text : "filter";
        break;
      }
      case n.NFTA_CHAIN_POLICY:
        policy = attrs.u32be() === n.VERDICTS.drop ? "drop" : "accept";
        break;
      case n.NFTA_CHAIN_USERDATA:
        comment = decodeComment(attrs.bytes());
    }
  }
  const base = hook && {
    type,
    hook: hookName(message.buf[message.payload] ?? 0, hook.number),
    priority: hook.priority,
    policy,
    ...(hook.device !== undefined && { device: hook.device }),
  };
  return { name, ...(base && { base }), ...(comment !== undefined && { comment }) };
}

function decodeHook(attrs: AttrReader): { number: number; priority: number; device?: string } {
  const hook: { number: number; priority: number; device?: string } = { number: 0, priority: 0 };
  while (attrs.next()) {
    if (attrs.type === n.NFTA_HOOK_HOOKNUM) hook.number = attrs.u32be();
    else if (attrs.type === n.NFTA_HOOK_PRIORITY) hook.priority = attrs.u32be() | 0;
    else if (attrs.type === n.NFTA_HOOK_DEV) hook.device = attrs.string();
  }
  return hook;
}

function hookName(family: number, number: number): Hook {
  if (family === n.NFPROTO.netdev) return "ingress";
  for (const hook of ["prerouting", "input", "forward", "output", "postrouting", "ingress"] as const) {
    if (n.INET_HOOKS[hook] === number) return hook;
  }
  return "ingress";
}

const FLAG_BITS: readonly (readonly [SetFlag, number])[] = [
  ["constant", n.NFT_SET_CONSTANT],
  ["dynamic", n.NFT_SET_EVAL],
  ["interval", n.NFT_SET_INTERVAL],
  ["timeout", n.NFT_SET_TIMEOUT],
];

/** The definition of a set; one whose types are not ours has an empty key. */
export function decodeSet(message: NetlinkMessage): SetHeader {
  const raw = readSet(message.attrs(NFGENMSG_LEN));
  const flags = FLAG_BITS.filter(([, bit]) => (raw.flags & bit) !== 0).map(([flag]) => flag);
  const isMap = (raw.flags & n.NFT_SET_MAP) !== 0;
  const data = raw.dataType === n.NFT_DATA_VERDICT ? "verdict" : decodeTypes(raw.dataType, raw.dataLength);
  return {
    name: raw.name,
    key: decodeTypes(raw.keyType, raw.keyLength),
    ...(isMap && { data }),
    ...(flags.length > 0 && { flags }),
    ...(raw.timeoutMs > 0 && { timeoutMs: raw.timeoutMs }),
    ...(raw.gcIntervalMs > 0 && { gcIntervalMs: raw.gcIntervalMs }),
    ...(raw.size > 0 && { size: raw.size }),
    ...(raw.comment !== undefined && { comment: raw.comment }),
  };
}

interface RawSet {
  name: string;
  flags: number;
  keyType: number;
  keyLength: number;
  dataType: number;
  dataLength: number;
  timeoutMs: number;
  gcIntervalMs: number;
  size: number;
  comment: string | undefined;
}

const SET_NUMBERS: Readonly<Record<number, "flags" | "keyType" | "keyLength" | "dataType" | "dataLength" | "gcIntervalMs">> = {
  [n.NFTA_SET_FLAGS]: "flags",
  [n.NFTA_SET_KEY_TYPE]: "keyType",
  [n.NFTA_SET_KEY_LEN]: "keyLength",
  [n.NFTA_SET_DATA_TYPE]: "dataType",
  [n.NFTA_SET_DATA_LEN]: "dataLength",
  [n.NFTA_SET_GC_INTERVAL]: "gcIntervalMs",
};

function readSet(attrs: AttrReader): RawSet {
  const raw: RawSet = {
    name: "",
    flags: 0,
    keyType: 0,
    keyLength: 0,
    dataType: 0,
    dataLength: 0,
    timeoutMs: 0,
    gcIntervalMs: 0,
    size: 0,
    comment: undefined,
  };
  while (attrs.next()) {
    const field = SET_NUMBERS[attrs.type];
    if (field !== undefined) raw[field] = attrs.u32be();
    else if (attrs.type === n.NFTA_SET_NAME) raw.name = attrs.string();
    else if (attrs.type === n.NFTA_SET_TIMEOUT) raw.timeoutMs = Number(attrs.u64be());
    else if (attrs.type === n.NFTA_SET_USERDATA) raw.comment = decodeSetComment(attrs.bytes());
    else if (attrs.type === n.NFTA_SET_DESC) {
      const desc = attrs.nested();
      while (desc.next()) if (desc.type === n.NFTA_SET_DESC_SIZE) raw.size = desc.u32be();
    }
  }
  return raw;
}

function decodeTypes(id: number, length: number): readonly Datatype[] {
  const types: Datatype[] = [];
  for (let rest = id; rest > 0; rest = Math.floor(rest / 64)) {
    const type = typeOfId(rest % 64);
    if (type === undefined) return [];
    types.unshift(type);
  }
  const [only] = types;
  // Integers of all lengths share a number: only a lone one can be told by its length.
  if (types.length === 1 && only === "index" && length < 4) return length === 1 ? ["integer8"] : ["integer16"];
  return keyBytes(types) === length || (only !== undefined && types.length === 1 && DATATYPES[only].bytes === length) ? types : [];
}

function typeOfId(id: number): Datatype | undefined {
  for (const type of Object.keys(TYPE_IDS)) if (isDatatype(type) && TYPE_IDS[type] === id && !type.startsWith("integer")) return type;
  return undefined;
}

function isDatatype(type: string): type is Datatype {
  return type in TYPE_IDS;
}
