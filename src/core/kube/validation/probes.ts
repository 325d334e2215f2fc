// Probes and lifecycle handlers: validateProbe, validateHandler of `pkg/apis/core/validation/validation.go`.
import type { Container, EphemeralContainer, HTTPGetAction, LifecycleHandler, Probe } from "kubernetes-types/core/v1";
import { isPortNumber } from "./names.ts";
import type { Problems } from "./problems.ts";
import { validatePortNumberOrName } from "./service.ts";

const HANDLERS = ["exec", "httpGet", "tcpSocket", "grpc", "sleep"] as const;

export function validateProbes(problems: Problems, path: string, container: Container | EphemeralContainer): void {
  const { livenessProbe, readinessProbe, startupProbe } = container;
  for (const [name, probe] of Object.entries({ livenessProbe, readinessProbe, startupProbe })) {
    if (probe === undefined) continue;
    const at = `${path}.${name}`;
    validateProbe(problems, at, probe);
    if (name !== "readinessProbe" && probe.successThreshold !== 1)
      problems.invalid(`${at}.successThreshold`, probe.successThreshold ?? 0, "must be 1");
    const grace = probe.terminationGracePeriodSeconds;
    if (grace === undefined) continue;
    if (name === "readinessProbe") problems.invalid(`${at}.terminationGracePeriodSeconds`, grace, "must not be set for readinessProbes");
    else if (grace <= 0) problems.invalid(`${at}.terminationGracePeriodSeconds`, grace, "must be greater than 0");
  }
}

function validateProbe(problems: Problems, path: string, probe: Probe): void {
  validateHandler(problems, path, probe);
  for (const field of ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] as const) {
    problems.notNegative(`${path}.${field}`, probe[field]);
  }
}

/** `sleep` and `grpc` exist in one of the two only; the schema has seen to that. */
type Handler = Pick<LifecycleHandler & Probe, "exec" | "httpGet" | "tcpSocket" | "grpc" | "sleep">;

export function validateHandler(problems: Problems, path: string, handler: Handler): void {
  const given = HANDLERS.filter((name) => handler[name] !== undefined);
  if (given.length === 0) {
    problems.required(path, "must specify a handler type");
    return;
  }
  for (const extra of given.slice(1)) problems.forbidden(`${path}.${extra}`, "may not specify more than 1 handler type");
  const { exec, httpGet, tcpSocket, grpc, sleep } = handler;
  if (exec !== undefined && (exec.command ?? []).length === 0) problems.required(`${path}.exec.command`);
  if (httpGet !== undefined) validateHttpGet(problems, `${path}.httpGet`, httpGet);
  if (tcpSocket !== undefined) validatePortNumberOrName(problems, `${path}.tcpSocket.port`, tcpSocket.port ?? 0);
  if (grpc !== undefined) problems.invalidEach(`${path}.grpc.port`, grpc.port ?? 0, isPortNumber(grpc.port ?? 0));
  if (sleep !== undefined && !(sleep.seconds >= 0)) problems.invalid(`${path}.sleep.seconds`, sleep.seconds ?? 0, "must be non-negative");
}

const HEADER_NAME = /^[-A-Za-z0-9]+$/;
const HEADER_RULE =
  "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')";

function validateHttpGet(problems: Problems, path: string, action: HTTPGetAction): void {
  if (!action.path) problems.required(`${path}.path`);
  validatePortNumberOrName(problems, `${path}.port`, action.port ?? 0);
  problems.oneOf(`${path}.scheme`, action.scheme, ["HTTP", "HTTPS"]);
  for (const { name = "" } of action.httpHeaders ?? [])
    if (!HEADER_NAME.test(name)) problems.invalid(`${path}.httpHeaders`, name, HEADER_RULE);
}
