import type { Namespace } from "kubernetes-types/core/v1";
import { decodeWithoutDefaults, readValue } from "../http/body.ts";
import { type ObjectCall, writeOf } from "../http/call.ts";
import { sendVersion } from "../http/respond.ts";
import { matchPath } from "../registry/metadata.ts";
import { updateObject } from "../registry/update.ts";
import type { ApiObject } from "../registry/version.ts";
import { conflict, notFound } from "../status.ts";

/** PUT namespaces/NAME/finalize: sets spec.finalizers and nothing else; with the last one gone a deleted namespace goes. */
export async function handleFinalize(call: ObjectCall): Promise<void> {
  const { served, name } = call;
  // The default of spec.finalizers is for new namespaces: here their absence is the message.
  const sent = decodeWithoutDefaults(call, served.resource, await readValue(call.req)) as ApiObject & Namespace;
  matchPath(served, sent, { name });
  const wanted = (old: ApiObject | undefined): ApiObject => {
    if (old === undefined) throw notFound(served.resource, name);
    const version: string | undefined = sent.metadata.resourceVersion;
    if (version !== undefined && version !== "" && version !== old.metadata.resourceVersion) throw conflict(served.resource, name);
    const finalizers = sent.spec?.finalizers ?? [];
    return { ...structuredClone(old), spec: finalizers.length === 0 ? {} : { finalizers } };
  };
  const { version } = await updateObject(call.registry, served, { key: { name }, part: "any", wanted }, writeOf(call));
  await sendVersion(call, 200, version);
}
