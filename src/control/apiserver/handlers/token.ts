// POST serviceaccounts/NAME/token. After `pkg/registry/core/serviceaccount/storage/token.go`.
import type { BoundObjectReference, TokenRequest } from "kubernetes-types/authentication/v1";
import { formatTime } from "#base";
import { NODES, PODS, SERVICE_ACCOUNTS } from "#kube";
import { invalidStatus } from "#kube/schema";
import type { ServiceAccountTokens, TokenSubject } from "../auth/service-account-tokens.ts";
import { decodeAs, readValue } from "../http/body.ts";
import type { ObjectCall } from "../http/call.ts";
import { sendObject } from "../http/respond.ts";
import { headObject } from "../registry/access.ts";
import { badRequest, conflict, notFound, StatusError } from "../status.ts";

const TOKEN_REQUEST = { group: "authentication.k8s.io", version: "v1", kind: "TokenRequest" };
const DEFAULT_SECONDS = 3600;
const MIN_SECONDS = 600;
const MAX_SECONDS = 2 ** 32;

export async function handleTokenRequest(call: ObjectCall, tokens: ServiceAccountTokens): Promise<void> {
  const { registry, path, name } = call;
  const body = await readValue(call.req);
  const request = decodeAs(call, TOKEN_REQUEST, body ?? {}) as unknown as TokenRequest;
  const account = headObject(registry, SERVICE_ACCOUNTS, { namespace: path.namespace, name });
  if (account === undefined) throw notFound(SERVICE_ACCOUNTS, name);
  const { expirationSeconds = DEFAULT_SECONDS, boundObjectRef } = request.spec;
  checkExpiration(name, expirationSeconds);
  // Required by its type, left out by every client that wants a token for us.
  const audiences = (request.spec as Partial<TokenRequest["spec"]>).audiences ?? [];
  const wanted = audiences.length === 0 ? [tokens.issuer] : audiences;
  const namespace = path.namespace ?? "";
  const subject: TokenSubject = { namespace, name, uid: account.metadata.uid, ...bindingOf(call, namespace, boundObjectRef) };
  const { token, expiresAtMs } = tokens.issue(subject, wanted, expirationSeconds);
  await sendObject(call, 201, {
    kind: "TokenRequest",
    apiVersion: "authentication.k8s.io/v1",
    metadata: { name, namespace, creationTimestamp: formatTime(registry.clock.now()) },
    spec: { ...request.spec, audiences: wanted, expirationSeconds },
    status: { token, expirationTimestamp: formatTime(expiresAtMs) },
  });
}

function checkExpiration(name: string, seconds: number): void {
  const problem =
    seconds < MIN_SECONDS
      ? "may not specify a duration less than 10 minutes"
      : seconds > MAX_SECONDS
        ? "may not specify a duration larger than 2^32 seconds"
        : undefined;
  if (problem === undefined) return;
  const error = { type: "FieldValueInvalid" as const, field: "spec.expirationSeconds", message: `Invalid value: ${seconds}: ${problem}` };
  throw StatusError.from(invalidStatus(TOKEN_REQUEST, name, [error]));
}

/** What the token is bound to: it ends with it. */
function bindingOf({ registry }: ObjectCall, namespace: string, ref: BoundObjectReference | undefined): Pick<TokenSubject, "pod" | "node"> {
  if (ref === undefined) return {};
  const { kind, name = "", uid } = ref;
  if (kind !== "Pod" && kind !== "Node")
    throw badRequest(`cannot bind token for serviceaccount to object of kind "${kind ?? ""}"; it may be a Pod or a Node`);
  const resource = kind === "Pod" ? PODS : NODES;
  const object = headObject<object>(registry, resource, kind === "Pod" ? { namespace, name } : { name });
  if (object === undefined) throw notFound(resource, name);
  if (uid !== undefined && uid !== "" && uid !== object.metadata.uid) {
    throw conflict(
      resource,
      name,
      `the UID in the bound object reference (${uid}) does not match the UID in record. The object might have been deleted and then recreated`,
    );
  }
  const bound = { name, uid: object.metadata.uid };
  return kind === "Node" ? { node: bound } : { pod: bound };
}
