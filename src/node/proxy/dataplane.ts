// One way to make the kernel do what frontends say.
import type { Addr } from "#ip";
import type { Frontend } from "./types.ts";

export const PROXY_MODES = ["nftables", "iptables", "ipvs"] as const;
export type ProxyMode = (typeof PROXY_MODES)[number];

/** What becomes of one frontend. At least one of `old` and `next` is there. */
export interface FrontendUpdate {
  readonly key: string;
  /** What was asked for last time. */
  readonly old: Frontend | undefined;
  readonly next: Frontend | undefined;
}

/** A client that comes back to the backend it had. */
export interface Affinity {
  readonly client: Addr;
  /** Key of the frontend that remembers it; where all frontends of a service port remember as one, the first of them. */
  readonly frontend: string;
  /** Id of the backend. */
  readonly backend: string;
  readonly expiresMs?: number;
}

/**
 * Calls do not overlap: each one is awaited before the next. An implementation writes only what is its own (table, chains, links by
 * name), and forgets by itself the affinities whose backend gets no new connections any more.
 */
export interface Dataplane {
  readonly mode: ProxyMode;
  /**
   * Makes the kernel hold exactly these, whatever it holds now: the first step, and the one after each failure. What is there and
   * right stays untouched.
   */
  replace(frontends: readonly Frontend[]): Promise<Replaced>;
  /** Costs what it touches. After a rejection nobody knows what the kernel holds, and `replace` is next. */
  update(updates: readonly FrontendUpdate[]): Promise<void>;
  /** Clients that are remembered now. */
  affinities(): Promise<readonly Affinity[]>;
  /**
   * Whether what leads packets to the frontends is where it was put; absent: it is when a trace of the mode is there. May come between the
   * calls above. Rejects where it cannot be said.
   */
  isIntact?(): Promise<boolean>;
  /**
   * Whether somebody else may have changed what was written since it was last compared, where comparing is cheap enough to be done for that.
   * Absent: that is not seen.
   */
  mayBeOther?(): boolean;
  /** Takes everything of this mode out of the kernel, whoever put it there, and says what that was. Nothing there is no error. */
  remove(): Promise<readonly string[]>;
  /** Lets go of sockets; what is in the kernel stays. */
  close(): void;
}

export interface Replaced {
  /** Steps that it took. */
  readonly changes: number;
  /** Whether something of ours was there. */
  readonly adopted: boolean;
}
