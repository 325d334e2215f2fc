import { FairleadError } from "#base";

/** The reasons that end up in a container's status (kubernetes `pkg/kubelet/container/sync_result.go`, `pkg/kubelet/images/types.go`). */
export type RuntimeErrorCode =
  | "NotFound"
  | "ErrImagePull"
  | "ErrImageNeverPull"
  | "InvalidImageName"
  | "CreateContainerConfigError"
  | "CreateContainerError"
  | "RunContainerError"
  | "RunPodSandboxError"
  | "PortForwardError"
  | "Timeout"
  | "NotRunning"
  | "Unsupported";

/** Thrown by the runtime; `code` is a reason for the pod's status, the message is for its reader. */
export class RuntimeError extends FairleadError {
  declare readonly code: RuntimeErrorCode;

  constructor(code: RuntimeErrorCode, message: string, cause?: unknown) {
    super(message, { code, cause });
  }
}
