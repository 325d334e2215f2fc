// Service account tokens: JWTs signed with ES256 (RFC 7519, RFC 7518 §3.4), with the claims that kube-apiserver puts in
// (`pkg/serviceaccount/claims.go`), bound to a pod where the kubelet asks so.
import { createHash, createPrivateKey, createPublicKey, type KeyObject, randomUUID, sign, verify } from "node:crypto";
import type { Clock } from "#base";
import { PODS, SERVICE_ACCOUNTS } from "#kube";
import { headObject } from "../registry/access.ts";
import type { Registry, User } from "../registry/types.ts";

export interface TokenSubject {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly pod?: { readonly name: string; readonly uid: string } | undefined;
  readonly node?: { readonly name: string; readonly uid: string } | undefined;
}

interface Claims {
  readonly iss: string;
  readonly sub: string;
  readonly aud: readonly string[];
  readonly exp: number;
  readonly nbf: number;
  readonly "kubernetes.io": {
    readonly namespace: string;
    readonly serviceaccount: { readonly name: string; readonly uid: string };
    readonly pod?: { readonly name: string; readonly uid: string };
    readonly node?: { readonly name: string; readonly uid: string };
  };
}

export class ServiceAccountTokens {
  readonly issuer: string;
  readonly #key: KeyObject;
  readonly #public: KeyObject;
  readonly #keyId: string;
  readonly #clock: Clock;

  /** `pem`: an ECDSA P-256 private key. */
  constructor(pem: string, clusterDomain: string, clock: Clock) {
    this.issuer = `https://kubernetes.default.svc.${clusterDomain}`;
    this.#key = createPrivateKey(pem);
    this.#public = createPublicKey(this.#key);
    this.#keyId = createHash("sha256")
      .update(this.#public.export({ type: "spki", format: "der" }))
      .digest("base64url");
    this.#clock = clock;
  }

  issue(subject: TokenSubject, audiences: readonly string[], expirationSeconds: number): { token: string; expiresAtMs: number } {
    const now = Math.floor(this.#clock.now() / 1000);
    const { namespace, name, uid, pod, node } = subject;
    const claims: Claims & { iat: number; jti: string } = {
      aud: audiences,
      exp: now + expirationSeconds,
      iat: now,
      iss: this.issuer,
      jti: randomUUID(),
      "kubernetes.io": {
        namespace,
        ...(node === undefined ? {} : { node }),
        ...(pod === undefined ? {} : { pod }),
        serviceaccount: { name, uid },
      },
      nbf: now,
      sub: `system:serviceaccount:${namespace}:${name}`,
    };
    const content = `${encode({ alg: "ES256", kid: this.#keyId })}.${encode(claims)}`;
    const signature = sign("sha256", Buffer.from(content), { key: this.#key, dsaEncoding: "ieee-p1363" });
    return { token: `${content}.${signature.toString("base64url")}`, expiresAtMs: (now + expirationSeconds) * 1000 };
  }

  /** Who the token stands for; undefined when it is not ours, has expired, is for another audience, or what it is bound to is gone. */
  authenticate(token: string, registry: Registry, audiences: readonly string[] = [this.issuer]): User | undefined {
    const claims = this.#verify(token);
    const now = this.#clock.now() / 1000;
    if (claims === undefined || claims.iss !== this.issuer || claims.exp <= now || claims.nbf > now) return undefined;
    if (!claims.aud.some((audience) => audiences.includes(audience))) return undefined;
    const { namespace, serviceaccount, pod, node } = claims["kubernetes.io"];
    const account = headObject(registry, SERVICE_ACCOUNTS, { namespace, name: serviceaccount.name });
    if (account?.metadata.uid !== serviceaccount.uid) return undefined;
    if (pod !== undefined && headObject(registry, PODS, { namespace, name: pod.name })?.metadata.uid !== pod.uid) return undefined;
    return {
      name: claims.sub,
      uid: serviceaccount.uid,
      groups: ["system:serviceaccounts", `system:serviceaccounts:${namespace}`, "system:authenticated"],
      extra: {
        ...(pod === undefined
          ? {}
          : { "authentication.kubernetes.io/pod-name": [pod.name], "authentication.kubernetes.io/pod-uid": [pod.uid] }),
        ...(node === undefined ? {} : { "authentication.kubernetes.io/node-name": [node.name] }),
      },
    };
  }

  /** RFC 7517, for those who verify tokens themselves. */
  keySet(): object {
    return { keys: [{ use: "sig", kid: this.#keyId, alg: "ES256", ...this.#public.export({ format: "jwk" }) }] };
  }

  #verify(token: string): Claims | undefined {
    const [header, payload, signature, ...more] = token.split(".");
    if (header === undefined || payload === undefined || signature === undefined || more.length > 0) return undefined;
    try {
      if (decode(header)["alg"] !== "ES256") return undefined;
      const bytes = Buffer.from(signature, "base64url");
      if (!verify("sha256", Buffer.from(`${header}.${payload}`), { key: this.#public, dsaEncoding: "ieee-p1363" }, bytes)) return undefined;
      // The signature is ours, so the claims have the form that we gave them.
      return decode(payload) as unknown as Claims;
    } catch {
      return undefined;
    }
  }
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value), "utf8").toString("base64url");
}

function decode(text: string): Readonly<Record<string, unknown>> {
  return JSON.parse(Buffer.from(text, "base64url").toString("utf8")) as Readonly<Record<string, unknown>>;
}
