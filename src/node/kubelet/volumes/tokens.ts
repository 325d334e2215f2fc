// Service account tokens for the pods of a node: requested through the API, bound to the pod, renewed before they expire.

import type { Clock } from "#base";
import { type Client, TOKEN_REQUESTS } from "#client";
import type { StoredPod } from "../pod-spec.ts";
import { VolumeError } from "./payload.ts";

export interface TokenKey {
  readonly audience: string | undefined;
  readonly expirationSeconds: number;
}

interface Token {
  readonly value: string;
  readonly renewAtMs: number;
}

/** Renewed after this part of the lifetime, and at the latest after a day (`pkg/kubelet/token/token_manager.go`). */
const RENEW_AFTER = 0.8;
const MAX_AGE_MS = 24 * 3_600_000;

/** The tokens of one pod. */
export class TokenStore {
  readonly #client: Client;
  readonly #clock: Clock;
  readonly #tokens = new Map<string, Token>();

  constructor(client: Client, clock: Clock) {
    this.#client = client;
    this.#clock = clock;
  }

  /** Resolves with the time at which the token wants renewal. */
  async ensure(pod: StoredPod, key: TokenKey): Promise<number> {
    const known = this.#tokens.get(idOf(key));
    if (known !== undefined && known.renewAtMs > this.#clock.now()) return known.renewAtMs;
    try {
      const token = await this.#request(pod, key);
      this.#tokens.set(idOf(key), token);
      return token.renewAtMs;
    } catch (err) {
      // An old token is better than none until it expires.
      if (known !== undefined) return this.#clock.now() + 60_000;
      throw err;
    }
  }

  get(key: TokenKey): string {
    const token = this.#tokens.get(idOf(key));
    if (token === undefined) throw new VolumeError("the service account's token has not been requested yet");
    return token.value;
  }

  async #request(pod: StoredPod, { audience, expirationSeconds }: TokenKey): Promise<Token> {
    const { namespace, name, uid } = pod.metadata;
    const account = pod.spec?.serviceAccountName;
    const now = this.#clock.now();
    const request = {
      apiVersion: "authentication.k8s.io/v1" as const,
      kind: "TokenRequest" as const,
      metadata: { name: account === undefined || account === "" ? "default" : account, ...(namespace !== undefined && { namespace }) },
      spec: {
        audiences: audience === undefined ? [] : [audience],
        expirationSeconds,
        boundObjectRef: { apiVersion: "v1", kind: "Pod", name, uid },
      },
    };
    const { status } = await this.#client.create(TOKEN_REQUESTS, request, { subresource: "token" });
    if (status === undefined) throw new VolumeError(`the API server gave no token for service account ${account ?? "default"}`);
    const lifetimeMs = Date.parse(status.expirationTimestamp ?? "") - now;
    return { value: status.token, renewAtMs: now + Math.min(lifetimeMs * RENEW_AFTER, MAX_AGE_MS) };
  }
}

function idOf({ audience, expirationSeconds }: TokenKey): string {
  return `${expirationSeconds} ${audience ?? ""}`;
}
