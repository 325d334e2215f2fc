import { FairleadError } from "#base";

/** The parts of `metav1.Status` that callers look at. */
export interface ApiStatus {
  readonly code: number;
  readonly reason: string;
  readonly message: string;
  readonly details?: {
    readonly name?: string;
    readonly group?: string;
    readonly kind?: string;
    readonly causes?: readonly { readonly field?: string; readonly message?: string; readonly reason?: string }[];
    readonly retryAfterSeconds?: number;
  };
}

/** Thrown when the API server answers with a Status other than success; `code` is the Status's reason, such as "NotFound". */
export class ApiError extends FairleadError {
  readonly status: ApiStatus;

  constructor(op: string, status: ApiStatus) {
    super(status.message, { code: status.reason, op, facts: { httpStatus: status.code, ...status.details } });
    this.status = status;
  }
}

function hasReason(err: unknown, reason: string): boolean {
  return err instanceof ApiError && err.code === reason;
}

export function isNotFound(err: unknown): boolean {
  return hasReason(err, "NotFound");
}

export function isAlreadyExists(err: unknown): boolean {
  return hasReason(err, "AlreadyExists");
}

export function isConflict(err: unknown): boolean {
  return hasReason(err, "Conflict");
}

export function isExpired(err: unknown): boolean {
  return hasReason(err, "Expired") || hasReason(err, "Gone");
}
