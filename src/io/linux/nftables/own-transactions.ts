// How many transactions of a namespace were this process's. The kernel's generation grows by one with each (nf_tables_commit in
// net/netfilter/nf_tables_api.c): what it grew by beyond them is others' doing.
import { statSync } from "node:fs";
import type { NetNs } from "../types.ts";

export interface OwnTransactions {
  count: number;
}

const byInode = new Map<number, OwnTransactions>();

/** Of `ns`, or of the namespace that the calling thread is in. */
export function ownTransactions(ns: NetNs | undefined): OwnTransactions {
  const inode = ns?.inode ?? statSync("/proc/thread-self/ns/net").ino;
  const found = byInode.get(inode) ?? { count: 0 };
  byInode.set(inode, found);
  return found;
}
