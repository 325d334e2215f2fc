import type { TokenRequest } from "kubernetes-types/authentication/v1";
import type { Binding } from "kubernetes-types/core/v1";
import { PODS, type Resource, SERVICE_ACCOUNTS } from "#kube";

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

/**
 * What `serviceaccounts/token` takes: `client.create(TOKEN_REQUESTS, { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest",
 * metadata, spec }, { subresource: "token" })`, where `metadata` names the service account.
 */
export const TOKEN_REQUESTS: Resource<TokenRequest> = {
  group: SERVICE_ACCOUNTS.group,
  version: SERVICE_ACCOUNTS.version,
  kind: "TokenRequest",
  plural: SERVICE_ACCOUNTS.plural,
  singular: SERVICE_ACCOUNTS.singular,
  shortNames: [],
  categories: [],
  namespaced: true,
};
