// From JSON text to typed objects: the edge at which an answer of the API server is trusted to have its resource's shape.
import type { KubeObject, Resource, Stored } from "#kube";
import { apiVersionOf } from "#kube";
import type { ApiStatus } from "./errors.ts";
import type { ListResult } from "./types.ts";

export type StatusObject = Partial<ApiStatus> & { readonly kind: "Status" };

export function isStatusObject(value: unknown): value is StatusObject {
  return typeof value === "object" && value !== null && "kind" in value && value.kind === "Status";
}

export function decodeObject<T extends KubeObject>(body: Buffer): Stored<T> {
  return JSON.parse(body.toString("utf8")) as Stored<T>;
}

interface WireList<T extends KubeObject> {
  readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string };
  readonly items?: Stored<T>[] | null;
}

export interface ListPage<T extends KubeObject> extends ListResult<T> {
  readonly continueToken: string;
}

/** Items of typed lists come without kind and apiVersion (apimachinery `TypeMeta` is omitted inside lists). */
export function decodeList<T extends KubeObject>(resource: Resource<T>, body: Buffer): ListPage<T> {
  const list = JSON.parse(body.toString("utf8")) as WireList<T>;
  const items = list.items ?? [];
  for (const item of items) {
    item.apiVersion ??= apiVersionOf(resource);
    item.kind ??= resource.kind;
  }
  return { items, resourceVersion: list.metadata?.resourceVersion ?? "", continueToken: list.metadata?.continue ?? "" };
}
