import { isAlreadyExists } from "#client";
import { CONFIG_MAPS, formatKey, SERVICE_ACCOUNTS } from "#kube";
import { type ControllerContext, startQueue, whenSynced } from "../context.ts";
import { ROOT_CA_NAME } from "../informers.ts";

const DEFAULT = "default";

/** Gives every namespace what its pods are started with: the service account `default` and the cluster's CA. */
export async function startServiceAccounts(context: ControllerContext, rootCa: string | undefined): Promise<void> {
  const { client } = context;
  const { namespaces, serviceAccounts, rootCas } = context.informers;
  await whenSynced([namespaces, serviceAccounts, rootCas]);

  async function sync(namespace: string): Promise<undefined> {
    const object = namespaces.get(namespace);
    if (object === undefined || object.metadata.deletionTimestamp !== undefined) return;
    await Promise.all([ensureAccount(namespace), ensureRootCa(namespace)]);
  }

  async function ensureAccount(namespace: string): Promise<void> {
    if (serviceAccounts.get(formatKey({ namespace, name: DEFAULT })) !== undefined) return;
    await client.create(SERVICE_ACCOUNTS, { metadata: { name: DEFAULT, namespace } }).catch(unlessThere);
  }

  async function ensureRootCa(namespace: string): Promise<void> {
    if (rootCa === undefined) return;
    const data = { "ca.crt": rootCa };
    const current = rootCas.get(formatKey({ namespace, name: ROOT_CA_NAME }));
    if (current?.data?.["ca.crt"] === rootCa && Object.keys(current.data).length === 1) return;
    const note = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints.";
    const annotations = { "kubernetes.io/description": note };
    if (current === undefined)
      await client.create(CONFIG_MAPS, { metadata: { name: ROOT_CA_NAME, namespace, annotations }, data }).catch(unlessThere);
    else await client.update(CONFIG_MAPS, { ...current, data });
  }

  const queue = startQueue(context, { name: "serviceaccount", run: sync });
  namespaces.subscribe((change) => queue.add(change.key));
  serviceAccounts.subscribe((change) => {
    if (change.type === "delete" && change.object.metadata.name === DEFAULT) queue.add(change.object.metadata.namespace ?? "");
  });
  rootCas.subscribe((change) => queue.add(change.object.metadata.namespace ?? ""));
}

function unlessThere(err: unknown): void {
  if (!isAlreadyExists(err)) throw err;
}
