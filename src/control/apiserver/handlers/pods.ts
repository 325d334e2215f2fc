// The subresources of pods that write: binding (the scheduler's decision) and eviction (a delete that budgets may refuse).
import type { Binding, Pod } from "kubernetes-types/core/v1";
import { formatTime } from "#base";
import { formatKey, PODS } from "#kube";
import { decodeAs, readValue } from "../http/body.ts";
import { type ObjectCall, type ResourceCall, writeOf } from "../http/call.ts";
import { sendObject } from "../http/respond.ts";
import { deleteObject } from "../registry/delete.ts";
import { updateObject } from "../registry/update.ts";
import type { ApiObject, Writable } from "../registry/version.ts";
import { badRequest, conflict, notFound } from "../status.ts";
import { isDeleteDryRun, parseDeleteOptions } from "./delete.ts";

const BINDING = { group: "", version: "v1", kind: "Binding" };
const EVICTION = { group: "policy", version: "v1", kind: "Eviction" };

/** After `pkg/registry/core/pod/storage/storage.go` BindingREST. */
export async function handleBinding(call: ResourceCall, name?: string): Promise<void> {
  const binding = decodeAs(call, BINDING, await readValue(call.req)) as unknown as Binding;
  const podName = name ?? binding.metadata?.name ?? "";
  const { target } = binding;
  if (target.kind !== undefined && target.kind !== "" && target.kind !== "Node")
    throw badRequest(`target.kind: "${target.kind}" must be "Node"`);
  const node = target.name ?? "";
  if (node === "") throw badRequest("target.name: Required value");
  const served = call.registry.served(PODS);
  const wanted = (old: ApiObject | undefined): ApiObject => {
    if (old === undefined) throw notFound(PODS, podName);
    return bound(structuredClone(old) as BoundPod, node, { binding, now: call.registry.clock.now() });
  };
  await updateObject(call.registry, served, { key: { namespace: call.path.namespace, name: podName }, part: "any", wanted }, writeOf(call));
  await sendObject(call, 201, { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", code: 201 });
}

type BoundPod = ApiObject & Writable<Pod>;

function bound(pod: BoundPod, node: string, { binding, now }: { binding: Binding; now: number }): BoundPod {
  const { name, uid, deletionTimestamp } = pod.metadata;
  const why = (problem: string): never => {
    throw conflict(PODS, `${name}/binding`, problem);
  };
  const wantedUid = binding.metadata?.uid;
  if (wantedUid !== undefined && wantedUid !== "" && wantedUid !== uid)
    why(`uid mismatch: the provided uid in the binding is ${wantedUid}, the pod's is ${uid}`);
  if (deletionTimestamp !== undefined) why(`pod ${name} is being deleted, cannot be assigned to a host`);
  const present = pod.spec?.nodeName ?? "";
  if (present !== "") why(`pod ${name} is already assigned to node "${present}"`);
  if ((pod.spec?.schedulingGates ?? []).length > 0) why(`pod ${name} has non-empty .spec.schedulingGates`);
  if (pod.spec !== undefined) pod.spec.nodeName = node;
  const { annotations } = binding.metadata ?? {};
  if (annotations !== undefined) pod.metadata.annotations = { ...pod.metadata.annotations, ...annotations };
  const others = (pod.status?.conditions ?? []).filter((condition) => condition.type !== "PodScheduled");
  const condition = { type: "PodScheduled", status: "True", lastProbeTime: null, lastTransitionTime: formatTime(now) };
  pod.status = { ...pod.status, conditions: [...others, condition as never] };
  return pod;
}

/** Until there are disruption budgets nothing refuses an eviction: it is a delete. */
export async function handleEviction(call: ObjectCall): Promise<void> {
  const { registry, served, path, name } = call;
  const eviction = decodeAs(call, EVICTION, await readValue(call.req));
  const sent: string | undefined = eviction.metadata.name;
  if (sent !== undefined && sent !== "" && sent !== name)
    throw badRequest(`name in URL does not match name in Eviction object: ${name} != ${sent}`);
  if (registry.store.head(served.table, formatKey({ namespace: path.namespace, name })) === undefined) throw notFound(PODS, name);
  const options = parseDeleteOptions(eviction["deleteOptions"] ?? {});
  const write = writeOf(call, isDeleteDryRun(call, options));
  await deleteObject({ registry, served, key: { namespace: path.namespace, name }, options, write });
  await sendObject(call, 201, { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", code: 201 });
}
