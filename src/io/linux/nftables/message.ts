// The header of every nf_tables message: struct nfgenmsg.
import type { TableFamily } from "#nft";
import type { MessageWriter } from "../netlink/index.ts";
import { NFNL_SUBSYS_NFTABLES, NFPROTO } from "../uapi/nf-tables.ts";

/** Its length, before the attributes. */
export const NFGENMSG_LEN = 4;

export function beginMessage(w: MessageWriter, type: number, family: TableFamily, flags = 0): void {
  w.begin((NFNL_SUBSYS_NFTABLES << 8) | type, flags);
  w.putU8(NFPROTO[family]).putU8(0).putU16be(0);
}

/** NFNL_MSG_BATCH_BEGIN or _END. */
export function batchMessage(w: MessageWriter, type: number): void {
  w.begin(type, 0);
  w.putU8(0).putU8(0).putU16be(NFNL_SUBSYS_NFTABLES);
  w.end();
}

export function familyOf(number: number): TableFamily | undefined {
  for (const [name, value] of Object.entries(NFPROTO)) if (value === number && isFamily(name)) return name;
  return undefined;
}

function isFamily(name: string): name is TableFamily {
  return name in NFPROTO;
}
