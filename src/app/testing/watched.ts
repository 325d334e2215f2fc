// Conditions on what an informer knows, awaited rather than polled.
import type { Pod } from "kubernetes-types/core/v1";
import type { Informer } from "#client";
import type { KubeObject, Stored } from "#kube";

/** The first value of `check` that is neither undefined nor false: it is asked now, and with every change. */
export function until<T extends KubeObject, V>(informer: Informer<T>, check: () => V | undefined | false): Promise<V> {
  const { promise, resolve } = Promise.withResolvers<V>();
  const look = (): void => {
    const value = check();
    if (value !== undefined && value !== false) resolve(value);
  };
  informer.subscribe(look);
  look();
  return promise;
}

export function isReady({ status }: Stored<Pod>): boolean {
  return status?.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True") === true;
}

/** `key` is `namespace/name`. */
export function untilReady(pods: Informer<Pod>, key: string): Promise<Stored<Pod>> {
  return until(pods, () => {
    const found = pods.get(key);
    return found !== undefined && isReady(found) && found;
  });
}
