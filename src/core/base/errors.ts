/**
 * The one base class of errors. `op` says what was attempted in the words of its user, `code` is stable and machine-readable
 * (an errno name such as "ENETDOWN", a Kubernetes status reason such as "NotFound", or a name of the room's own), `facts` are the
 * values involved. The message is for a person: what was attempted, on what, why it failed, and where possible what to do.
 */
export interface ErrorInit {
  readonly code: string;
  readonly op?: string;
  readonly facts?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

export class FairleadError extends Error {
  readonly code: string;
  readonly op: string | undefined;
  readonly facts: Readonly<Record<string, unknown>>;

  constructor(message: string, init: ErrorInit) {
    super(message, init.cause === undefined ? undefined : { cause: init.cause });
    this.name = new.target.name;
    this.code = init.code;
    this.op = init.op;
    this.facts = init.facts ?? {};
  }
}

/** Thrown when input from outside (a flag, a manifest, a file) is wrong; `field` is the path of the value, such as `spec.ports[0].port`. */
export class InputError extends FairleadError {
  readonly field: string;

  constructor(field: string, message: string) {
    super(`${field}: ${message}`, { code: "BadInput", facts: { field } });
    this.field = field;
  }
}

export function errorCode(err: unknown): string | undefined {
  if (typeof err !== "object" || err === null || !("code" in err)) return undefined;
  return typeof err.code === "string" ? err.code : undefined;
}

export function errorMessage(err: unknown): string {
  return err instanceof Error ? err.message : String(err);
}
