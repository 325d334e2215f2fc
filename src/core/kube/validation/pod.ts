// Pods: `pkg/apis/core/validation/validation.go` ValidatePodSpec.
import type { Pod, PodDNSConfig, PodSpec, Toleration } from "kubernetes-types/core/v1";
import { validateContainers } from "./containers.ts";
import { validateLabels } from "./metadata.ts";
import { inclusiveRange, isDns1123Label, isDns1123Subdomain, isIp, isQualifiedName, NOT_AN_IP } from "./names.ts";
import type { Problems } from "./problems.ts";
import { validateVolumes } from "./volumes.ts";

const MAX_INT32 = 2 ** 31 - 1;
const MAX_ID = MAX_INT32;

export function validatePod(problems: Problems, pod: Pod, old: Pod | undefined): void {
  const { spec } = pod;
  if (spec === undefined) {
    problems.required("spec.containers");
    return;
  }
  validatePodSpec(problems, "spec", spec);
  if (old === undefined && (spec.ephemeralContainers ?? []).length > 0)
    problems.forbidden("spec.ephemeralContainers", "cannot be set on create");
}

export function validatePodSpec(problems: Problems, path: string, spec: PodSpec): void {
  const volumes = validateVolumes(problems, `${path}.volumes`, spec.volumes ?? []);
  validateContainers(problems, path, spec, volumes);
  problems.oneOf(`${path}.restartPolicy`, spec.restartPolicy, ["Always", "OnFailure", "Never"]);
  validateDns(problems, path, spec);
  validateTimes(problems, path, spec);
  validateLabels(problems, `${path}.nodeSelector`, spec.nodeSelector);
  validateNames(problems, path, spec);
  validateSecurity(problems, path, spec);
  for (const [i, toleration] of (spec.tolerations ?? []).entries()) validateToleration(problems, `${path}.tolerations[${i}]`, toleration);
  validateSpread(problems, path, spec);
  for (const [i, alias] of (spec.hostAliases ?? []).entries()) {
    const at = `${path}.hostAliases[${i}]`;
    problems.invalidEach(`${at}.ip`, alias.ip ?? "", isIp(alias.ip ?? ""));
    for (const [j, name] of (alias.hostnames ?? []).entries())
      problems.invalidEach(`${at}.hostnames[${j}]`, name, isDns1123Subdomain(name));
  }
}

function validateDns(problems: Problems, path: string, spec: PodSpec): void {
  problems.oneOf(`${path}.dnsPolicy`, spec.dnsPolicy, ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"]);
  const { dnsConfig } = spec;
  const at = `${path}.dnsConfig`;
  if (spec.dnsPolicy === "None") {
    if (dnsConfig === undefined) problems.required(at, "must provide `dnsConfig` when `dnsPolicy` is None");
    else if ((dnsConfig.nameservers ?? []).length === 0) {
      problems.required(`${at}.nameservers`, "must provide at least one DNS nameserver when `dnsPolicy` is None");
    }
  }
  if (dnsConfig !== undefined) validateDnsConfig(problems, at, dnsConfig);
}

function validateDnsConfig(problems: Problems, path: string, { nameservers = [], searches = [], options = [] }: PodDNSConfig): void {
  if (nameservers.length > 3) problems.invalid(`${path}.nameservers`, nameservers, "must not have more than 3 nameservers");
  for (const [i, server] of nameservers.entries()) {
    if (isIp(server).length > 0) problems.invalid(`${path}.nameservers[${i}]`, server, NOT_AN_IP);
  }
  if (searches.length > 32) problems.invalid(`${path}.searches`, searches, "must not have more than 32 search paths");
  if (searches.join(" ").length > 2048) {
    problems.invalid(`${path}.searches`, searches, "must not have more than 2048 characters (including spaces) in the search list");
  }
  // A single dot, a trailing one and underscores are usual in resolv.conf.
  for (const [i, search] of searches.entries()) {
    if (search !== ".")
      problems.invalidEach(`${path}.searches[${i}]`, search, isDns1123Subdomain(search.replace(/\.$/, "").replaceAll("_", "-")));
  }
  for (const [i, { name }] of options.entries()) if (!name) problems.required(`${path}.options[${i}]`, "must not be empty");
}

function validateTimes(problems: Problems, path: string, spec: PodSpec): void {
  problems.notNegative(`${path}.terminationGracePeriodSeconds`, spec.terminationGracePeriodSeconds);
  const deadline = spec.activeDeadlineSeconds;
  if (deadline !== undefined && (deadline < 1 || deadline > MAX_INT32)) {
    problems.invalid(`${path}.activeDeadlineSeconds`, deadline, inclusiveRange(1, MAX_INT32));
  }
}

function validateNames(problems: Problems, path: string, spec: PodSpec): void {
  const check = (field: string, value: string | undefined, rule: (value: string) => string[]): void => {
    if (value) problems.invalidEach(`${path}.${field}`, value, rule(value));
  };
  check("serviceAccountName", spec.serviceAccountName, isDns1123Subdomain);
  check("nodeName", spec.nodeName, isDns1123Subdomain);
  check("hostname", spec.hostname, isDns1123Label);
  check("subdomain", spec.subdomain, isDns1123Label);
  check("schedulerName", spec.schedulerName, isQualifiedName);
  check("priorityClassName", spec.priorityClassName, isDns1123Subdomain);
  check("runtimeClassName", spec.runtimeClassName, isDns1123Subdomain);
  problems.optionalOneOf(`${path}.preemptionPolicy`, spec.preemptionPolicy, ["PreemptLowerPriority", "Never"]);
  const gates = new Set<string>();
  for (const [i, { conditionType }] of (spec.readinessGates ?? []).entries()) {
    problems.invalidEach(`${path}.readinessGates[${i}].conditionType`, conditionType ?? "", isQualifiedName(conditionType ?? ""));
  }
  for (const [i, { name }] of (spec.schedulingGates ?? []).entries()) {
    problems.invalidEach(`${path}.schedulingGates[${i}]`, name ?? "", isQualifiedName(name ?? ""));
    if (gates.has(name)) problems.duplicate(`${path}.schedulingGates[${i}]`, name);
    gates.add(name);
  }
}

const SYSCTL = /^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$/;

function validateSecurity(problems: Problems, path: string, spec: PodSpec): void {
  const { securityContext: context = {} } = spec;
  const at = `${path}.securityContext`;
  if (spec.shareProcessNamespace === true && spec.hostPID === true) {
    problems.invalid(`${path}.shareProcessNamespace`, true, "ShareProcessNamespace and HostPID cannot both be enabled");
  }
  for (const field of ["runAsUser", "runAsGroup", "fsGroup"] as const) validateId(problems, `${at}.${field}`, context[field]);
  for (const [i, group] of (context.supplementalGroups ?? []).entries()) validateId(problems, `${at}.supplementalGroups[${i}]`, group);
  const names = new Set<string>();
  for (const [i, { name }] of (context.sysctls ?? []).entries()) {
    const field = `${at}.sysctls[${i}].name`;
    if (!name) problems.required(field);
    else if (!SYSCTL.test(name) || name.length > 253) {
      problems.invalid(
        field,
        name,
        "must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$",
      );
    } else if (names.has(name)) problems.duplicate(field, name);
    names.add(name);
  }
}

export function validateId(problems: Problems, path: string, id: number | undefined): void {
  if (id !== undefined && (id < 0 || id > MAX_ID)) problems.invalid(path, id, inclusiveRange(0, MAX_ID));
}

function validateToleration(problems: Problems, path: string, toleration: Toleration): void {
  const { key, operator, value, effect, tolerationSeconds } = toleration;
  if (key) problems.invalidEach(`${path}.key`, key, isQualifiedName(key));
  else if (operator !== "Exists") {
    problems.invalid(
      `${path}.operator`,
      operator ?? "",
      'operator must be Exists when `key` is empty, which means "match all values and all keys"',
    );
  }
  if (tolerationSeconds !== undefined && effect !== "NoExecute") {
    problems.invalid(`${path}.effect`, effect ?? "", "effect must be 'NoExecute' when `tolerationSeconds` is set");
  }
  if (operator === "Exists" && value) problems.invalid(`${path}.operator`, toleration, "value must be empty when `operator` is 'Exists'");
  problems.optionalOneOf(`${path}.operator`, operator, ["Equal", "Exists"]);
  problems.optionalOneOf(`${path}.effect`, effect, ["NoSchedule", "PreferNoSchedule", "NoExecute"]);
}

function validateSpread(problems: Problems, path: string, spec: PodSpec): void {
  for (const [i, constraint] of (spec.topologySpreadConstraints ?? []).entries()) {
    const at = `${path}.topologySpreadConstraints[${i}]`;
    if (!(constraint.maxSkew > 0)) problems.invalid(`${at}.maxSkew`, constraint.maxSkew ?? 0, "must be greater than zero");
    if (!constraint.topologyKey) problems.required(`${at}.topologyKey`, "can not be empty");
    problems.oneOf(`${at}.whenUnsatisfiable`, constraint.whenUnsatisfiable, ["DoNotSchedule", "ScheduleAnyway"]);
  }
}
