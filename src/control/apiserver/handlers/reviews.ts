// Questions: what is posted is answered and nothing is stored. Everyone who is authenticated may do everything (README), so the answers of
// authorization.k8s.io are yes.
import type { TokenReview } from "kubernetes-types/authentication/v1";
import type { ApiResource } from "#kube/schema";
import type { Authenticator } from "../auth/authenticate.ts";
import { decodeAs, readValue } from "../http/body.ts";
import type { Call } from "../http/call.ts";
import { sendObject } from "../http/respond.ts";
import type { User } from "../registry/types.ts";
import type { ApiObject } from "../registry/version.ts";

export async function handleReview(call: Call, question: ApiResource, authenticator: Authenticator): Promise<void> {
  const review = decodeAs(call, question.resource, await readValue(call.req));
  const status = answer(call, review, question.resource.kind, authenticator);
  await sendObject(call, 201, { ...review, metadata: { ...review.metadata, creationTimestamp: null }, status });
}

function answer(call: Call, review: ApiObject, kind: string, authenticator: Authenticator): object {
  switch (kind) {
    case "SelfSubjectReview":
      return { userInfo: userInfo(call.user) };
    case "TokenReview":
      return tokenStatus(review as unknown as TokenReview, authenticator);
    case "SelfSubjectRulesReview":
      return {
        resourceRules: [{ verbs: ["*"], apiGroups: ["*"], resources: ["*"] }],
        nonResourceRules: [{ verbs: ["*"], nonResourceURLs: ["*"] }],
        incomplete: false,
      };
    default:
      return { allowed: true, reason: "every authenticated user is an administrator" };
  }
}

function tokenStatus({ spec }: TokenReview, authenticator: Authenticator): object {
  const user = authenticator.byToken(spec.token ?? "", spec.audiences);
  if (user === undefined) return { authenticated: false, user: {}, error: "the token is not valid" };
  return { authenticated: true, user: userInfo(user), ...(spec.audiences === undefined ? {} : { audiences: spec.audiences }) };
}

function userInfo({ name, uid, groups, extra }: User): object {
  return {
    username: name,
    ...(uid === "" ? {} : { uid }),
    groups,
    ...(extra === undefined || Object.keys(extra).length === 0 ? {} : { extra }),
  };
}
