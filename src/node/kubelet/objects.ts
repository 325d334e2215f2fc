// ConfigMaps and Secrets that pods of this node refer to: watched per namespace, for as long as a pod there refers to any.
import type { ConfigMap, Pod, Secret } from "kubernetes-types/core/v1";
import type { Logger } from "#base";
import { type Client, createInformer, dropManagedFields, type Informer } from "#client";
import { CONFIG_MAPS, type KubeObject, type Resource, SECRETS } from "#kube";

export interface ObjectsOptions {
  readonly client: Client;
  readonly logger: Logger;
  /** Something changed in what these pods, by uid, may refer to. */
  readonly onChange: (podUids: readonly string[]) => void;
}

/** One informer per namespace, while it has users. */
class ByNamespace<T extends KubeObject> {
  readonly #resource: Resource<T>;
  readonly #options: ObjectsOptions;
  readonly #watched = new Map<string, { readonly informer: Informer<T>; readonly users: Set<string>; readonly stop: AbortController }>();

  constructor(resource: Resource<T>, options: ObjectsOptions) {
    this.#resource = resource;
    this.#options = options;
  }

  use(uid: string, namespace: string): Promise<void> {
    const known = this.#watched.get(namespace);
    if (known !== undefined) {
      known.users.add(uid);
      return known.informer.synced;
    }
    const stop = new AbortController();
    const { client, logger, onChange } = this.#options;
    const informer = createInformer(client, this.#resource, { namespace, logger, transform: dropManagedFields<T>, signal: stop.signal });
    const users = new Set([uid]);
    this.#watched.set(namespace, { informer, users, stop });
    // What is there at first is waited for; what comes later is news.
    void informer.synced.then(() => {
      let live = false;
      informer.subscribe(() => live && onChange([...users]));
      live = true;
    });
    return informer.synced;
  }

  release(uid: string): void {
    for (const [namespace, { users, stop }] of this.#watched) {
      if (!users.delete(uid) || users.size > 0) continue;
      stop.abort();
      this.#watched.delete(namespace);
    }
  }

  get(namespace: string, name: string): T | undefined {
    return this.#watched.get(namespace)?.informer.get(`${namespace}/${name}`);
  }

  close(): void {
    for (const { stop } of this.#watched.values()) stop.abort();
    this.#watched.clear();
  }
}

export class ReferencedObjects {
  readonly #configMaps: ByNamespace<ConfigMap>;
  readonly #secrets: ByNamespace<Secret>;

  constructor(options: ObjectsOptions) {
    this.#configMaps = new ByNamespace(CONFIG_MAPS, options);
    this.#secrets = new ByNamespace(SECRETS, options);
  }

  /** Begins to follow what the pod refers to; resolves when it is known what there is. */
  async use(uid: string, pod: Pod): Promise<void> {
    const namespace = pod.metadata?.namespace ?? "";
    const { configMaps, secrets } = referencedKinds(pod);
    await Promise.all([configMaps && this.#configMaps.use(uid, namespace), secrets && this.#secrets.use(uid, namespace)]);
  }

  release(uid: string): void {
    this.#configMaps.release(uid);
    this.#secrets.release(uid);
  }

  configMap(namespace: string, name: string): ConfigMap | undefined {
    return this.#configMaps.get(namespace, name);
  }

  secret(namespace: string, name: string): Secret | undefined {
    return this.#secrets.get(namespace, name);
  }

  close(): void {
    this.#configMaps.close();
    this.#secrets.close();
  }
}

function referencedKinds(pod: Pod): { configMaps: boolean; secrets: boolean } {
  const volumes = pod.spec?.volumes ?? [];
  const projections = volumes.flatMap((volume) => volume.projected?.sources ?? []);
  const containers = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])];
  const envFrom = containers.flatMap((container) => container.envFrom ?? []);
  const valueFrom = containers.flatMap((container) => container.env ?? []).map((env) => env.valueFrom);
  return {
    configMaps:
      [...volumes, ...projections].some((source) => source.configMap !== undefined) ||
      envFrom.some((from) => from.configMapRef !== undefined) ||
      valueFrom.some((from) => from?.configMapKeyRef !== undefined),
    secrets:
      [...volumes, ...projections].some((source) => source.secret !== undefined) ||
      envFrom.some((from) => from.secretRef !== undefined) ||
      valueFrom.some((from) => from?.secretKeyRef !== undefined),
  };
}
