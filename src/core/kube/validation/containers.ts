// The containers of a pod: validateContainers, validateInitContainers, validateEphemeralContainers of
// `pkg/apis/core/validation/validation.go`.
import type {
  Container,
  ContainerPort,
  EphemeralContainer,
  PodSpec,
  ResourceRequirements,
  SecurityContext,
} from "kubernetes-types/core/v1";
import { compareQuantities, tryParseQuantity } from "../quantity.ts";
import { validateEnv } from "./env.ts";
import { isDns1123Label, isIp, isPortName, isPortNumber, isQualifiedName } from "./names.ts";
import { validateId } from "./pod.ts";
import { validateHandler, validateProbes } from "./probes.ts";
import type { Problems } from "./problems.ts";
import { validateMounts } from "./volumes.ts";

const PROTOCOLS: readonly string[] = ["SCTP", "TCP", "UDP"];
const STANDARD_RESOURCES: ReadonlySet<string> = new Set(["cpu", "memory", "ephemeral-storage"]);

type Part = "containers" | "initContainers" | "ephemeralContainers";

export function validateContainers(problems: Problems, path: string, spec: PodSpec, volumes: ReadonlySet<string>): void {
  if ((spec.containers ?? []).length === 0) problems.required(`${path}.containers`);
  const names = new Set<string>();
  const hostPorts = new Set<string>();
  for (const part of ["containers", "initContainers", "ephemeralContainers"] as const) {
    for (const [i, container] of (spec[part] ?? []).entries()) {
      const at = `${path}.${part}[${i}]`;
      validateContainer(problems, at, container, { part, volumes });
      if (names.has(container.name)) problems.duplicate(`${at}.name`, container.name);
      names.add(container.name);
      if (part === "containers") validateHostPorts(problems, at, container, { spec, hostPorts });
    }
  }
}

interface ContainerContext {
  readonly part: Part;
  readonly volumes: ReadonlySet<string>;
}

function validateContainer(
  problems: Problems,
  path: string,
  container: Container | EphemeralContainer,
  { part, volumes }: ContainerContext,
): void {
  const image = container.image ?? "";
  if (!container.name) problems.required(`${path}.name`);
  else problems.invalidEach(`${path}.name`, container.name, isDns1123Label(container.name));
  if (image === "") problems.required(`${path}.image`);
  else if (image.trim() !== image) problems.invalid(`${path}.image`, image, "must not have leading or trailing whitespace");
  problems.oneOf(`${path}.terminationMessagePolicy`, container.terminationMessagePolicy, ["File", "FallbackToLogsOnError"]);
  validatePorts(problems, `${path}.ports`, container.ports ?? []);
  validateEnv(problems, path, container);
  validateMounts(problems, path, container, volumes);
  problems.oneOf(`${path}.imagePullPolicy`, container.imagePullPolicy, ["Always", "IfNotPresent", "Never"]);
  validateResources(problems, `${path}.resources`, container.resources);
  validateSecurityContext(problems, `${path}.securityContext`, container.securityContext);
  validateLife(problems, path, container, part);
}

/** What only some containers may have: probes, lifecycle, a restart policy of their own. */
function validateLife(problems: Problems, path: string, container: Container | EphemeralContainer, part: Part): void {
  const { restartPolicy } = container;
  const sidecar = part === "initContainers" && restartPolicy === "Always";
  if (part === "initContainers") problems.optionalOneOf(`${path}.restartPolicy`, restartPolicy, ["Always"]);
  else if (restartPolicy !== undefined)
    problems.forbidden(`${path}.restartPolicy`, `may not be set for ${part === "containers" ? "non-init" : "ephemeral"} containers`);
  if (part === "containers" || sidecar) {
    validateProbes(problems, path, container);
    if (container.lifecycle?.postStart !== undefined)
      validateHandler(problems, `${path}.lifecycle.postStart`, container.lifecycle.postStart);
    if (container.lifecycle?.preStop !== undefined) validateHandler(problems, `${path}.lifecycle.preStop`, container.lifecycle.preStop);
    return;
  }
  const why =
    part === "initContainers"
      ? "may not be set for init containers without restartPolicy=Always"
      : "cannot be set for an Ephemeral Container";
  for (const field of ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] as const) {
    if (container[field] !== undefined) problems.forbidden(`${path}.${field}`, why);
  }
  if (part === "ephemeralContainers" && (container.ports ?? []).length > 0) problems.forbidden(`${path}.ports`, why);
}

function validatePorts(problems: Problems, path: string, ports: readonly ContainerPort[]): void {
  const names = new Set<string>();
  for (const [i, port] of ports.entries()) {
    const at = `${path}[${i}]`;
    if (port.name) {
      const wrong = isPortName(port.name);
      problems.invalidEach(`${at}.name`, port.name, wrong);
      if (wrong.length === 0 && names.has(port.name)) problems.duplicate(`${at}.name`, port.name);
      names.add(port.name);
    }
    if (!port.containerPort) problems.required(`${at}.containerPort`);
    else problems.invalidEach(`${at}.containerPort`, port.containerPort, isPortNumber(port.containerPort));
    if (port.hostPort) problems.invalidEach(`${at}.hostPort`, port.hostPort, isPortNumber(port.hostPort));
    if (port.hostIP) problems.invalidEach(`${at}.hostIP`, port.hostIP, isIp(port.hostIP));
    problems.oneOf(`${at}.protocol`, port.protocol, PROTOCOLS);
  }
}

interface HostPorts {
  readonly spec: PodSpec;
  readonly hostPorts: Set<string>;
}

function validateHostPorts(problems: Problems, path: string, container: Container, { spec, hostPorts }: HostPorts): void {
  for (const [i, port] of (container.ports ?? []).entries()) {
    if (!port.hostPort) continue;
    const at = `${path}.ports[${i}]`;
    const key = `${port.protocol ?? ""}/${port.hostIP ?? ""}/${port.hostPort}`;
    if (hostPorts.has(key)) problems.duplicate(`${at}.hostPort`, key);
    hostPorts.add(key);
    if (spec.hostNetwork === true && port.hostPort !== port.containerPort) {
      problems.invalid(`${path}.ports[${i}].containerPort`, port.containerPort, "must match `hostPort` when `hostNetwork` is true");
    }
  }
}

function validateResources(problems: Problems, path: string, resources: ResourceRequirements | undefined): void {
  const { limits = {}, requests = {} } = resources ?? {};
  for (const [part, list] of Object.entries({ limits, requests })) {
    for (const [name, amount] of Object.entries(list)) {
      const at = `${path}.${part}[${name}]`;
      problems.invalidEach(at, name, isQualifiedName(name));
      if (!name.includes("/") && !STANDARD_RESOURCES.has(name) && !name.startsWith("hugepages-")) {
        problems.invalid(at, name, "must be a standard resource for containers");
      }
      if (amount.startsWith("-")) problems.invalid(at, amount, "must be greater than or equal to 0");
    }
  }
  for (const [name, request] of Object.entries(requests)) {
    const limit = limits[name];
    if (limit !== undefined && exceeds(request, limit)) {
      problems.invalid(`${path}.requests`, request, `must be less than or equal to ${name} limit of ${limit}`);
    }
  }
}

function exceeds(a: string, b: string): boolean {
  const left = tryParseQuantity(a);
  const right = tryParseQuantity(b);
  return left !== undefined && right !== undefined && compareQuantities(left, right) > 0;
}

function validateSecurityContext(problems: Problems, path: string, context: SecurityContext | undefined): void {
  validateId(problems, `${path}.runAsUser`, context?.runAsUser);
  validateId(problems, `${path}.runAsGroup`, context?.runAsGroup);
  if (context?.allowPrivilegeEscalation !== false) return;
  if (context.privileged === true) {
    problems.invalid(path, context, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
  }
  if (context.capabilities?.add?.includes("CAP_SYS_ADMIN") === true) {
    problems.invalid(path, context, "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN");
  }
}
