// Takes out of this machine's network what agents have put there, whichever mode they had.
import { errorMessage } from "#base";
import { netns, openNft, openRoute } from "#linux";
import { removeOverlay } from "#overlay";
import { removeModes } from "#proxy";
import { requireNetAdmin } from "./privileges.ts";

export interface CleanupReport {
  readonly removed: readonly string[];
  /** Modes that this machine cannot have had: a program or a part of the kernel is missing. */
  readonly impossible: readonly string[];
  readonly failed: readonly string[];
}

/** All nftables tables of ours are called so. */
const TABLE_PREFIX = "fairlead-";

/** Idempotent. What one part cannot remove does not keep the others. */
export async function cleanUp(): Promise<CleanupReport> {
  requireNetAdmin();
  using ns = netns.current();
  const removed: string[] = [];
  const impossible: string[] = [];
  const failed: string[] = [];
  for (const { mode, removed: gone, unavailable, error } of await removeModes(ns)) {
    removed.push(...gone);
    if (unavailable !== undefined) impossible.push(`${mode}: ${errorMessage(unavailable)}`);
    if (error !== undefined) failed.push(`${mode}: ${errorMessage(error)}`);
  }
  const attempt = (what: string, run: () => readonly string[]): void => {
    try {
      removed.push(...run());
    } catch (err) {
      failed.push(`${what}: ${errorMessage(err)}`);
    }
  };
  attempt("nftables", removeTables);
  attempt("overlay", () => {
    const route = openRoute(ns);
    try {
      return removeOverlay(route);
    } finally {
      route.close();
    }
  });
  return { removed, impossible, failed };
}

function removeTables(): string[] {
  const nft = openNft();
  try {
    const tables = nft.tables().filter(({ name }) => name.startsWith(TABLE_PREFIX));
    for (const table of tables) nft.apply([{ op: "delete table", table }]);
    return tables.map(({ family, name }) => `nftables table ${family} ${name}`);
  } finally {
    nft.close();
  }
}
