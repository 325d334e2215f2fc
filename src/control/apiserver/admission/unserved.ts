// What the API takes and nothing in this cluster acts on: said when it is created, since an object that stays as it is looks like a
// fault, and a policy that is not enforced like protection.
import type { Service } from "kubernetes-types/core/v1";
import type { Served, Write } from "../registry/types.ts";
import type { ApiObject } from "../registry/version.ts";

const NOT_RUN = "is stored, but this cluster has no controller that makes pods of it";
const NOT_ENFORCED = "is stored, but not enforced in this cluster";

const BY_KIND: ReadonlyMap<string, string> = new Map([
  ["DaemonSet", NOT_RUN],
  ["StatefulSet", NOT_RUN],
  ["ReplicationController", NOT_RUN],
  ["Job", NOT_RUN],
  ["CronJob", NOT_RUN],
  ["ResourceQuota", NOT_ENFORCED],
  ["LimitRange", NOT_ENFORCED],
  ["IPAddress", "is stored, but keeps no Service from getting this address"],
  ["Ingress", "is stored, but this cluster has no ingress controller"],
  ["PersistentVolumeClaim", "is stored, but nothing in this cluster binds it to a volume"],
]);

export function warnOfUnserved({ resource }: Served, object: ApiObject, write: Write): void {
  const reason = BY_KIND.get(resource.kind);
  if (reason !== undefined) write.warn(`${resource.kind} ${reason}`);
  if (resource.kind === "Service" && (object as unknown as Service).spec?.type === "LoadBalancer") {
    write.warn("nothing in this cluster gives an address to a Service of type LoadBalancer; its cluster IPs and node ports work");
  }
}
