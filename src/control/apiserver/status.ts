// The refusals of the API, in upstream's words: clients compare reasons and people know the messages by heart.
// After apimachinery `api/errors/errors.go`.
import type { Status, StatusCause, StatusDetails } from "kubernetes-types/meta/v1";
import { FairleadError } from "#base";
import type { Resource } from "#kube";

export type GroupResource = Pick<Resource, "group" | "plural">;

/** Thrown anywhere below a request; its `status` is the answer. */
export class StatusError extends FairleadError {
  readonly status: Status & { readonly code: number };
  /** Goes into metadata.continue (a list that expired can go on inconsistently). */
  readonly continueToken: string | undefined;

  constructor(code: number, reason: string, message: string, extra: { details?: StatusDetails; continueToken?: string } = {}) {
    super(message, { code: reason, op: "answer request" });
    this.continueToken = extra.continueToken;
    const metadata = extra.continueToken === undefined ? {} : { continue: extra.continueToken };
    const details = extra.details === undefined ? {} : { details: extra.details };
    this.status = { kind: "Status", apiVersion: "v1", metadata, status: "Failure", message, reason, ...details, code };
  }

  /** From a Status made elsewhere, such as the 422 of the validation. */
  static from(status: Status): StatusError {
    const extra = status.details === undefined ? {} : { details: status.details };
    return new StatusError(status.code ?? 500, status.reason ?? "InternalError", status.message ?? "", extra);
  }
}

export function isStatusError(err: unknown, code: number): err is StatusError {
  return err instanceof StatusError && err.status.code === code;
}

/** `pods` or `deployments.apps`. */
export function formatResource(resource: GroupResource): string {
  return resource.group === "" ? resource.plural : `${resource.plural}.${resource.group}`;
}

function detailsOf(resource: GroupResource, name: string): StatusDetails {
  return { ...(name === "" ? {} : { name }), ...(resource.group === "" ? {} : { group: resource.group }), kind: resource.plural };
}

export function notFound(resource: GroupResource, name: string): StatusError {
  const message = `${formatResource(resource)} "${name}" not found`;
  return new StatusError(404, "NotFound", message, { details: detailsOf(resource, name) });
}

export function alreadyExists(resource: GroupResource, name: string): StatusError {
  const message = `${formatResource(resource)} "${name}" already exists`;
  return new StatusError(409, "AlreadyExists", message, { details: detailsOf(resource, name) });
}

const MODIFIED = "the object has been modified; please apply your changes to the latest version and try again";

export function conflict(resource: GroupResource, name: string, why: string = MODIFIED): StatusError {
  const message = `Operation cannot be fulfilled on ${formatResource(resource)} "${name}": ${why}`;
  return new StatusError(409, "Conflict", message, { details: detailsOf(resource, name) });
}

export function forbidden(resource: GroupResource, name: string, why: string, causes?: StatusCause[]): StatusError {
  const subject = name === "" ? formatResource(resource) : `${formatResource(resource)} "${name}"`;
  const details = { ...detailsOf(resource, name), ...(causes === undefined ? {} : { causes }) };
  return new StatusError(403, "Forbidden", `${subject} is forbidden: ${why}`, { details });
}

export function badRequest(message: string): StatusError {
  return new StatusError(400, "BadRequest", message);
}

/** The request is well-formed, its parameters contradict each other: 422 with the parameter as the field. */
export function invalidOptions(kind: string, field: string, problem: string): StatusError {
  const causes = [{ reason: "FieldValueForbidden", message: problem, field }];
  const details = { group: "meta.k8s.io", kind, causes };
  return new StatusError(422, "Invalid", `${kind}.meta.k8s.io "" is invalid: ${field}: ${problem}`, { details });
}

export function methodNotSupported(resource: GroupResource, verb: string): StatusError {
  const message = `${verb} is not supported on resources of kind "${formatResource(resource)}"`;
  return new StatusError(405, "MethodNotAllowed", message, { details: detailsOf(resource, "") });
}

export function unauthorized(): StatusError {
  return new StatusError(401, "Unauthorized", "Unauthorized");
}

export function expired(message: string, continueToken?: string): StatusError {
  return new StatusError(410, "Expired", message, continueToken === undefined ? {} : { continueToken });
}

export function unsupportedMediaType(accepted: readonly string[]): StatusError {
  const message = `the body of the request was in an unknown format - accepted media types include: ${accepted.join(", ")}`;
  return new StatusError(415, "UnsupportedMediaType", message);
}

export function notAcceptable(accepted: readonly string[]): StatusError {
  return new StatusError(406, "NotAcceptable", `only the following media types are accepted: ${accepted.join(", ")}`);
}

export function tooLarge(message: string): StatusError {
  return new StatusError(413, "RequestEntityTooLarge", message);
}

/** Reflectors know this cause and wait (client-go `tools/cache/reflector.go`). */
export function tooLargeResourceVersion(asked: number, current: number): StatusError {
  const message = `Timeout: Too large resource version: ${asked}, current: ${current}`;
  const causes = [{ reason: "ResourceVersionTooLarge", message: "Too large resource version" }];
  return new StatusError(504, "Timeout", message, { details: { causes, retryAfterSeconds: 1 } });
}

export function internalError(message: string): StatusError {
  const details = { causes: [{ message }] };
  return new StatusError(500, "InternalError", `Internal error occurred: ${message}`, { details });
}

export function serviceUnavailable(message: string): StatusError {
  return new StatusError(503, "ServiceUnavailable", message);
}
