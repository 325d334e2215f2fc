import type { Binding } from "kubernetes-types/core/v1";
import { PODS, type Resource } from "#kube";

/** What `pods/binding` takes: `client.create(POD_BINDINGS, { metadata, target }, { subresource: "binding" })`. */
export const POD_BINDINGS: Resource<Binding> = {
  group: PODS.group,
  version: PODS.version,
  kind: "Binding",
  plural: PODS.plural,
  singular: PODS.singular,
  shortNames: [],
  categories: [],
  namespaced: true,
};
