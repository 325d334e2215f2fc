// Who controls what: references, adoption of orphans, release of what no longer matches
// (kubernetes `pkg/controller/controller_ref_manager.go`).
import type { LabelSelector, OwnerReference } from "kubernetes-types/meta/v1";
import { type Client, isNotFound } from "#client";
import { apiVersionOf, type KubeObject, matchLabelSelector, type Resource, type Stored } from "#kube";

export function controllerOf(object: KubeObject): OwnerReference | undefined {
  return object.metadata?.ownerReferences?.find((reference) => reference.controller === true);
}

export function ownerReference(resource: Resource, owner: Stored): OwnerReference {
  const { name, uid } = owner.metadata;
  return { apiVersion: apiVersionOf(resource), kind: resource.kind, name, uid, controller: true, blockOwnerDeletion: true };
}

/** Whether `object` is controlled by this very object, not by an earlier one of the same name. */
export function isControlledBy(object: KubeObject, owner: Stored): boolean {
  return controllerOf(object)?.uid === owner.metadata.uid;
}

interface Claims<T extends KubeObject> {
  readonly owned: Stored<T>[];
  readonly adopt: Stored<T>[];
  readonly release: Stored<T>[];
}

/** Sorts candidates of the owner's namespace. An owner that is being deleted adopts nothing. */
function computeClaims<T extends KubeObject>(
  owner: Stored,
  selector: LabelSelector | undefined,
  candidates: readonly Stored<T>[],
): Claims<T> {
  const claims: Claims<T> = { owned: [], adopt: [], release: [] };
  const deleting = owner.metadata.deletionTimestamp !== undefined;
  for (const candidate of candidates) {
    const controller = controllerOf(candidate);
    if (controller !== undefined && controller.uid !== owner.metadata.uid) continue;
    const matches = matchLabelSelector(selector, candidate.metadata.labels);
    if (controller !== undefined) {
      if (matches) claims.owned.push(candidate);
      else if (!deleting) claims.release.push(candidate);
    } else if (matches && !deleting && candidate.metadata.deletionTimestamp === undefined) {
      claims.adopt.push(candidate);
    }
  }
  return claims;
}

export interface ClaimRequest<T extends KubeObject> {
  readonly client: Client;
  readonly owner: Stored;
  readonly ownerResource: Resource;
  readonly resource: Resource<T>;
  readonly selector: LabelSelector | undefined;
  readonly candidates: readonly Stored<T>[];
}

/** Carries the claims out and returns what is controlled after that. */
export async function claim<T extends KubeObject>(request: ClaimRequest<T>): Promise<Stored<T>[]> {
  const { client, owner, resource } = request;
  const { owned, adopt, release } = computeClaims(owner, request.selector, request.candidates);
  if (adopt.length > 0 && !(await isCurrent(request))) return owned;
  for (const object of adopt) {
    const references = [...(object.metadata.ownerReferences ?? []), ownerReference(request.ownerResource, owner)];
    const adopted = await setReferences(client, resource, object, references);
    if (adopted !== undefined) owned.push(adopted);
  }
  for (const object of release) {
    const references = (object.metadata.ownerReferences ?? []).filter((reference) => reference.uid !== owner.metadata.uid);
    await setReferences(client, resource, object, references);
  }
  return owned;
}

// Our copy of the owner may be older than its deletion, or its successor's creation.
async function isCurrent(request: ClaimRequest<KubeObject>): Promise<boolean> {
  try {
    const current = await request.client.get(request.ownerResource, request.owner.metadata);
    return current.metadata.uid === request.owner.metadata.uid && current.metadata.deletionTimestamp === undefined;
  } catch (err) {
    if (isNotFound(err)) return false;
    throw err;
  }
}

async function setReferences<T extends KubeObject>(
  client: Client,
  resource: Resource<T>,
  object: Stored<T>,
  ownerReferences: readonly OwnerReference[],
): Promise<Stored<T> | undefined> {
  const { uid, resourceVersion } = object.metadata;
  try {
    const body = { metadata: { uid, resourceVersion, ownerReferences: ownerReferences.length === 0 ? null : ownerReferences } };
    return await client.patch(resource, object.metadata, { type: "merge", body });
  } catch (err) {
    if (isNotFound(err)) return undefined;
    throw err;
  }
}
