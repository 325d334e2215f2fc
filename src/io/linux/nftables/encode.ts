// Steps of a transaction as messages.
import { type BaseChain, type Change, DATATYPES, type Datatype, keyBytes, type SetFlag, type SetHeader } from "#nft";
import type { MessageWriter } from "../netlink/index.ts";
import { NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL } from "../uapi/netlink.ts";
import * as n from "../uapi/nf-tables.ts";
import { encodeElements } from "./elements.ts";
import { encodeStatement } from "./encode-expr.ts";
import { beginMessage } from "./message.ts";
import { encodeComment, encodeSetUserdata } from "./userdata.ts";

/** Writes the messages of one step: one, or for elements as many as their list needs. */
export function encodeChange(w: MessageWriter, change: Change): void {
  switch (change.op) {
    case "add table":
      beginMessage(w, n.NFT_MSG_NEWTABLE, change.table.family, NLM_F_CREATE);
      w.string(n.NFTA_TABLE_NAME, change.table.name);
      if (change.owned === true) w.u32be(n.NFTA_TABLE_FLAGS, n.NFT_TABLE_F_OWNER);
      if (change.comment !== undefined) w.attrBytes(n.NFTA_TABLE_USERDATA, encodeComment(change.comment));
      w.end();
      return;
    case "delete table":
      beginMessage(w, n.NFT_MSG_DELTABLE, change.table.family);
      w.string(n.NFTA_TABLE_NAME, change.table.name);
      w.end();
      return;
    case "add set":
      encodeSet(w, change);
      return;
    case "delete set":
      beginMessage(w, n.NFT_MSG_DELSET, change.table.family);
      w.string(n.NFTA_SET_TABLE, change.table.name).string(n.NFTA_SET_NAME, change.set);
      w.end();
      return;
    case "add chain":
      encodeChain(w, change);
      return;
    case "delete chain":
      beginMessage(w, n.NFT_MSG_DELCHAIN, change.table.family);
      w.string(n.NFTA_CHAIN_TABLE, change.table.name).string(n.NFTA_CHAIN_NAME, change.chain);
      w.end();
      return;
    case "flush chain":
      beginMessage(w, n.NFT_MSG_DELRULE, change.table.family);
      w.string(n.NFTA_RULE_TABLE, change.table.name).string(n.NFTA_RULE_CHAIN, change.chain);
      w.end();
      return;
    case "add rule":
      encodeRule(w, change);
      return;
    case "add elements":
    case "delete elements":
      encodeElements(w, change);
  }
}

function encodeChain(w: MessageWriter, change: Change & { op: "add chain" }): void {
  const { table, base } = change;
  beginMessage(w, n.NFT_MSG_NEWCHAIN, table.family, NLM_F_CREATE | NLM_F_EXCL);
  w.string(n.NFTA_CHAIN_TABLE, table.name).string(n.NFTA_CHAIN_NAME, change.chain);
  if (base !== undefined) {
    w.nest(n.NFTA_CHAIN_HOOK, () => {
      w.u32be(n.NFTA_HOOK_HOOKNUM, hookNumber(table.family, base)).u32be(n.NFTA_HOOK_PRIORITY, base.priority);
      if (base.device !== undefined) w.string(n.NFTA_HOOK_DEV, base.device);
    });
    w.string(n.NFTA_CHAIN_TYPE, base.type);
    w.u32be(n.NFTA_CHAIN_POLICY, base.policy === "accept" ? n.VERDICTS.accept : n.VERDICTS.drop);
  }
  if (change.comment !== undefined) w.attrBytes(n.NFTA_CHAIN_USERDATA, encodeComment(change.comment));
  w.end();
}

function hookNumber(family: string, base: BaseChain): number {
  return family === "netdev" ? n.NF_NETDEV_INGRESS : n.INET_HOOKS[base.hook];
}

function encodeRule(w: MessageWriter, { table, chain, rule }: Change & { op: "add rule" }): void {
  beginMessage(w, n.NFT_MSG_NEWRULE, table.family, NLM_F_CREATE | NLM_F_APPEND);
  w.string(n.NFTA_RULE_TABLE, table.name).string(n.NFTA_RULE_CHAIN, chain);
  w.nest(n.NFTA_RULE_EXPRESSIONS, () => {
    for (const statement of rule.statements) encodeStatement(w, statement);
  });
  if (rule.comment !== undefined) w.attrBytes(n.NFTA_RULE_USERDATA, encodeComment(rule.comment));
  w.end();
}

/** nft's numbers of types (enum datatypes in nftables include/datatype.h): the kernel keeps them for whoever lists the set. */
export const TYPE_IDS: Readonly<Record<Datatype, number>> = {
  nf_proto: 2,
  index: 4,
  integer8: 4,
  integer16: 4,
  ipv4_addr: 7,
  ipv6_addr: 8,
  ether_addr: 9,
  ether_type: 10,
  inet_proto: 12,
  inet_service: 13,
  icmp_type: 14,
  mark: 19,
  iface_index: 20,
  ct_state: 26,
  ct_dir: 27,
  ct_status: 28,
  icmpv6_type: 29,
  fib_addrtype: 38,
  ifname: 41,
};

/** Six bits per component of a concatenation. */
function typeId(types: readonly Datatype[]): number {
  return types.reduce((id, type) => ((id << 6) | TYPE_IDS[type]) >>> 0, 0);
}

const FLAGS: Readonly<Record<SetFlag, number>> = {
  constant: n.NFT_SET_CONSTANT,
  interval: n.NFT_SET_INTERVAL,
  timeout: n.NFT_SET_TIMEOUT,
  dynamic: n.NFT_SET_EVAL,
};

function setFlags(set: SetHeader): number {
  const named = (set.flags ?? []).reduce((sum, flag) => sum | FLAGS[flag], 0);
  const concat = set.key.length > 1 && set.flags?.includes("interval") === true ? n.NFT_SET_CONCAT : 0;
  return named | concat | (set.data === undefined ? 0 : n.NFT_SET_MAP);
}

let lastSetId = 0;

function encodeSet(w: MessageWriter, { table, set }: Change & { op: "add set" }): void {
  beginMessage(w, n.NFT_MSG_NEWSET, table.family, NLM_F_CREATE | NLM_F_EXCL);
  w.string(n.NFTA_SET_TABLE, table.name).string(n.NFTA_SET_NAME, set.name);
  const flags = setFlags(set);
  w.u32be(n.NFTA_SET_FLAGS, flags);
  w.u32be(n.NFTA_SET_KEY_TYPE, typeId(set.key)).u32be(n.NFTA_SET_KEY_LEN, keyBytes(set.key));
  if (set.data === "verdict") w.u32be(n.NFTA_SET_DATA_TYPE, n.NFT_DATA_VERDICT);
  else if (set.data !== undefined) w.u32be(n.NFTA_SET_DATA_TYPE, typeId(set.data)).u32be(n.NFTA_SET_DATA_LEN, keyBytes(set.data));
  // Mandatory (NFTA_SET_ID), though nothing here refers to it: our sets have names.
  w.u32be(n.NFTA_SET_ID, ++lastSetId);
  if (set.timeoutMs !== undefined) w.u64be(n.NFTA_SET_TIMEOUT, set.timeoutMs);
  if (set.gcIntervalMs !== undefined) w.u32be(n.NFTA_SET_GC_INTERVAL, set.gcIntervalMs);
  const isConcat = (flags & n.NFT_SET_CONCAT) !== 0;
  if (set.size !== undefined || isConcat) {
    w.nest(n.NFTA_SET_DESC, () => {
      if (set.size !== undefined) w.u32be(n.NFTA_SET_DESC_SIZE, set.size);
      if (isConcat)
        w.nest(n.NFTA_SET_DESC_CONCAT, () =>
          set.key.forEach((type) => {
            encodeField(w, type);
          }),
        );
    });
  }
  w.attrBytes(n.NFTA_SET_USERDATA, encodeSetUserdata(set));
  w.end();
}

/** The length without padding: the kernel rounds up by itself (nft_set_desc_concat_parse). */
function encodeField(w: MessageWriter, type: Datatype): void {
  w.nest(n.NFTA_LIST_ELEM, () => w.u32be(n.NFTA_SET_FIELD_LEN, DATATYPES[type].bytes));
}
