// Which ReplicaSet belongs to a pod template: by comparing templates, and by a hash of it in names and labels
// (kubernetes `pkg/controller/deployment/util`, `pkg/util/hash`).
import { isDeepStrictEqual } from "node:util";
import type { Deployment, ReplicaSet } from "kubernetes-types/apps/v1";
import type { PodTemplateSpec } from "kubernetes-types/core/v1";
import type { Stored } from "#kube";

export const POD_TEMPLATE_HASH = "pod-template-hash";

// apimachinery `util/rand`: no vowels, so that no words come about, and no characters that look alike.
const SAFE_ALPHABET = "bcdfghjklmnpqrstvwxz2456789";

/** A label value that stands for the template; another `collisionCount` gives another one. */
export function templateHash(template: PodTemplateSpec, collisionCount: number): string {
  const text = `${canonicalJson(template)}#${collisionCount}`;
  // FNV-1a, 32 bit.
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return String(hash).replace(/\d/g, (digit) => SAFE_ALPHABET.charAt(digit.charCodeAt(0) % SAFE_ALPHABET.length));
}

function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) => {
    if (typeof part !== "object" || part === null || Array.isArray(part)) return part;
    return Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

/** Whether the templates differ in nothing but the hash label. */
export function sameTemplate(a: PodTemplateSpec | undefined, b: PodTemplateSpec | undefined): boolean {
  return isDeepStrictEqual(withoutHash(a), withoutHash(b));
}

function withoutHash(template: PodTemplateSpec | undefined): PodTemplateSpec | undefined {
  if (template?.metadata?.labels?.[POD_TEMPLATE_HASH] === undefined) return template;
  const { [POD_TEMPLATE_HASH]: _, ...labels } = template.metadata.labels;
  return { ...template, metadata: { ...template.metadata, labels } };
}

/** The ReplicaSet of the present template; the oldest, should there be several. */
export function findNewReplicaSet(deployment: Deployment, replicaSets: readonly Stored<ReplicaSet>[]): Stored<ReplicaSet> | undefined {
  return [...replicaSets].sort(byAge).find((replicaSet) => sameTemplate(replicaSet.spec?.template, deployment.spec?.template));
}

/** Oldest first. */
export function byAge(a: Stored, b: Stored): number {
  if (a.metadata.creationTimestamp !== b.metadata.creationTimestamp) {
    return a.metadata.creationTimestamp < b.metadata.creationTimestamp ? -1 : 1;
  }
  return a.metadata.name < b.metadata.name ? -1 : 1;
}
