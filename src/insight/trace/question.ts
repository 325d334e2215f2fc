// From what a person wrote to who asks whom: resolved against the API's objects. What is not there is answered with what is. Pure.
import type { Pod, Service, ServicePort } from "kubernetes-types/core/v1";
import { InputError } from "#base";
import { type Addr, addrEquals, type Family, formatAddr, formatAddrPort, tryParseAddr } from "#ip";
import { internalAddrsOf, keyOf, type Stored } from "#kube";
import type { Protocol } from "#observe";
import { type EndText, parseEnd, parsePort } from "./ends.ts";
import { lookupOf } from "./names.ts";
import { podImpossible, podPort } from "./pods.ts";
import type { Ask, Asker, ClusterObjects, RawQuestion, Resolved, Target } from "./types.ts";

const OUTSIDE = "outside";

/** Throws InputError for what names nothing that there is. */
export function resolveQuestion(raw: RawQuestion, objects: ClusterObjects): Resolved {
  const from = resolveFrom(raw, objects);
  const unable = from.pod === undefined ? undefined : podImpossible(from.pod, "ask");
  if (unable !== undefined) return { kind: "impossible", cause: unable };
  const end = parseEnd(raw.to, "TO");
  const inEnd = parsePort("port" in end ? end.port : undefined, "TO");
  const inFlag = parsePort(raw.port, "--port");
  const protocol = raw.protocol ?? inFlag.protocol ?? inEnd.protocol;
  const port = inFlag.port ?? inEnd.port;
  const wanted: Wanted = {
    from,
    family: raw.family ?? familiesOf(from, objects)[0] ?? 4,
    isFamilyGiven: raw.family !== undefined,
    ...(protocol !== undefined && { protocol }),
    ...(port !== undefined && { port }),
  };
  return resolveTo(end, wanted, { objects, namespace: raw.namespace });
}

export interface Wanted {
  readonly from: Asker;
  readonly family: Family;
  readonly isFamilyGiven: boolean;
  readonly protocol?: Protocol;
  readonly port?: number | string;
}

interface Within {
  readonly objects: ClusterObjects;
  readonly namespace: string;
}

function resolveFrom(raw: RawQuestion, objects: ClusterObjects): Asker {
  const end = parseEnd(raw.from, "FROM");
  if ("port" in end && end.port !== undefined)
    throw new InputError("FROM", `has a port, "${end.port}"; the port that is asked belongs to TO`);
  switch (end.kind) {
    case "outside":
      return { text: "outside", place: { kind: "outside" }, namespace: OUTSIDE };
    case "node":
      findNode(objects, end.name, "FROM");
      return { text: `node ${end.name}`, place: { kind: "node", name: end.name }, namespace: end.name };
    case "service":
      throw new InputError("FROM", `svc/${end.name} is a Service; packets come from a pod, a node or outside`);
    case "address": {
      const pod = podOf(objects, end.addr);
      if (pod === undefined)
        throw new InputError("FROM", `no pod has the address ${formatAddr(end.addr)}; name a pod, node/NAME or outside`);
      return askerOf(pod);
    }
    default:
      return askerOf(findPod(objects, end.namespace ?? raw.namespace, end.name));
  }
}

function askerOf(pod: Stored<Pod>): Asker {
  const { name, namespace = "" } = pod.metadata;
  const key = keyOf(pod);
  return { text: `pod ${key}`, place: { kind: "pod", namespace, name }, namespace: namespaceOf(pod), pod };
}

/** The model's name for where a pod is. */
function namespaceOf(pod: Stored<Pod>): string {
  return pod.spec?.hostNetwork === true ? (pod.spec.nodeName ?? "") : keyOf(pod);
}

export function podOf({ pods }: ClusterObjects, addr: Addr): Stored<Pod> | undefined {
  const text = formatAddr(addr);
  const having = pods.filter(({ spec, status }) => spec?.hostNetwork !== true && status?.podIPs?.some(({ ip }) => ip === text));
  return having.find(({ status }) => status?.phase !== "Succeeded" && status?.phase !== "Failed");
}

function findPod({ pods }: ClusterObjects, namespace: string, name: string): Stored<Pod> {
  const found = pods.find(({ metadata }) => metadata.namespace === namespace && metadata.name === name);
  if (found !== undefined) return found;
  const elsewhere = pods.filter(({ metadata }) => metadata.name === name).map(keyOf);
  const here = pods.filter(({ metadata }) => metadata.namespace === namespace).map(({ metadata }) => metadata.name);
  const hint = elsewhere.length > 0 ? `; there is ${list(elsewhere)}` : `; namespace ${namespace} has ${list(here)}`;
  throw new InputError("pod", `there is no pod ${namespace}/${name}${hint}`);
}

export function list(names: readonly string[]): string {
  if (names.length === 0) return "none";
  const shown = names.toSorted((a, b) => a.localeCompare(b, "en", { numeric: true })).slice(0, 8);
  return shown.join(", ") + (names.length > shown.length ? ` and ${names.length - shown.length} more` : "");
}

function findNode({ nodes }: ClusterObjects, name: string, field: string): ClusterObjects["nodes"][number] {
  const found = nodes.find(({ metadata }) => metadata.name === name);
  if (found !== undefined) return found;
  throw new InputError(field, `there is no node "${name}"; there are: ${list(nodes.map(({ metadata }) => metadata.name))}`);
}

function resolveTo(end: EndText, wanted: Wanted, within: Within): Resolved {
  const { objects } = within;
  switch (end.kind) {
    case "outside":
      throw new InputError("TO", 'outside has no port that is known; name an address, such as "192.0.2.1:443"');
    case "pod":
      return toPod(findPod(objects, end.namespace ?? within.namespace, end.name), wanted, objects);
    case "service":
      return toService(findService(objects, end.namespace ?? within.namespace, end.name), wanted);
    case "node":
      return toNode(end.name, wanted, objects);
    case "address":
      return toAddress(end.addr, wanted, objects);
    case "name":
      return toName(end, wanted, within);
  }
}

function toName(end: Extract<EndText, { kind: "name" }>, wanted: Wanted, within: Within): Resolved {
  const { objects } = within;
  const namespace = end.namespace ?? within.namespace;
  const pod = objects.pods.find(({ metadata }) => metadata.namespace === namespace && metadata.name === end.name);
  if (pod !== undefined) return toPod(pod, wanted, objects);
  const service = serviceNamed(objects, namespace, end.name);
  if (service !== undefined) return toService(service, wanted);
  if (end.namespace !== undefined) findPod(objects, namespace, end.name);
  return lookupOf(end.name, wanted, objects);
}

function serviceNamed({ services }: ClusterObjects, namespace: string, name: string): Stored<Service> | undefined {
  return services.find(({ metadata }) => metadata.namespace === namespace && metadata.name === name);
}

function findService(objects: ClusterObjects, namespace: string, name: string): Stored<Service> {
  const found = serviceNamed(objects, namespace, name);
  if (found !== undefined) return found;
  const elsewhere = objects.services.filter(({ metadata }) => metadata.name === name).map(keyOf);
  const here = objects.services.filter(({ metadata }) => metadata.namespace === namespace).map(({ metadata }) => metadata.name);
  const hint = elsewhere.length > 0 ? `; there is ${list(elsewhere)}` : `; namespace ${namespace} has ${list(here)}`;
  throw new InputError("TO", `there is no Service ${namespace}/${name}${hint}`);
}

function toPod(pod: Stored<Pod>, wanted: Wanted, objects: ClusterObjects): Resolved {
  const unable = podImpossible(pod, "be asked");
  if (unable !== undefined) return { kind: "impossible", cause: unable };
  const addrs = (pod.status?.podIPs ?? []).flatMap(({ ip }) => tryParseAddr(ip ?? "") ?? []);
  const dst = ofFamily(addrs, wanted, objects);
  if (dst === undefined) return noAddress(`pod ${keyOf(pod)}`, addrs, wanted);
  const { port, protocol } = podPort(pod, wanted);
  return asking({ wanted, protocol, dst, port, to: { kind: "pod", pod }, what: `pod ${keyOf(pod)}` });
}

function noAddress(what: string, addrs: readonly Addr[], { family }: Wanted): Resolved {
  const has = addrs.length === 0 ? "it has no address" : `it has ${addrs.map(formatAddr).join(", ")}`;
  return { kind: "impossible", cause: { code: "no address", sentence: `${what} has no IPv${family} address`, facts: [has] } };
}

/** The wanted family, or else the one that both ends have. */
function ofFamily(addrs: readonly Addr[], { family, isFamilyGiven, from }: Wanted, objects: ClusterObjects): Addr | undefined {
  const found = addrs.find((addr) => addr.family === family);
  if (found !== undefined || isFamilyGiven) return found;
  return addrs.find((addr) => familiesOf(from, objects).includes(addr.family));
}

function familiesOf({ pod, place }: Asker, objects: ClusterObjects): Family[] {
  const texts =
    place.kind === "node"
      ? objects.nodes.filter(({ metadata }) => metadata.name === place.name).flatMap((node) => internalAddrsOf(node).addrs.map(formatAddr))
      : (pod?.status?.podIPs ?? []).map(({ ip }) => ip ?? "");
  const families = new Set(texts.flatMap((text) => tryParseAddr(text)?.family ?? []));
  return families.size === 0 ? [4, 6] : ([4, 6] as const).filter((family) => families.has(family));
}

function toService(service: Stored<Service>, wanted: Wanted): Resolved {
  const { spec = {} } = service;
  const key = keyOf(service);
  if (spec.type === "ExternalName") {
    throw new InputError("TO", `Service ${key} is only the name ${spec.externalName}; ask for that`);
  }
  const addrs = (spec.clusterIPs ?? []).flatMap((ip) => tryParseAddr(ip) ?? []);
  if (spec.clusterIP === "None") throw new InputError("TO", `Service ${key} is headless: ask for one of its pods`);
  const dst = addrs.find(({ family }) => family === wanted.family) ?? (wanted.isFamilyGiven ? undefined : addrs[0]);
  if (dst === undefined) return noAddress(`Service ${key}`, addrs, wanted);
  const { port, number, protocol } = servicePort(service, wanted);
  const to: Target = { kind: "service", service, via: "ClusterIP", ...(port !== undefined && { port }) };
  return asking({ wanted, protocol, dst, port: number, to, what: `Service ${key}` });
}

function protocolOf({ protocol = "TCP" }: ServicePort): Protocol {
  return protocol === "UDP" ? "udp" : protocol === "SCTP" ? "sctp" : "tcp";
}

interface ChosenPort {
  readonly port?: ServicePort;
  readonly number: number | undefined;
  readonly protocol: Protocol;
}

/** A number that the Service does not have is asked all the same: what comes of it is the answer. */
function servicePort({ metadata, spec }: Stored<Service>, wanted: Wanted): ChosenPort {
  const ports = spec?.ports ?? [];
  if (wanted.protocol === "icmp") return { number: undefined, protocol: "icmp" };
  const named = (one: ServicePort): string => `${one.name === undefined ? "" : `${one.name} `}${one.port}/${protocolOf(one)}`;
  if (wanted.port === undefined) {
    const fitting = ports.filter((one) => wanted.protocol === undefined || protocolOf(one) === wanted.protocol);
    const [only] = fitting;
    if (only !== undefined && (fitting.length === 1 || new Set(fitting.map(({ port }) => port)).size === 1)) {
      return { port: only, number: only.port, protocol: protocolOf(only) };
    }
    throw new InputError("--port", `Service ${metadata.name} has ${list(ports.map(named))}: say which`);
  }
  const same = ports.filter(({ port, name }) => port === wanted.port || name === wanted.port);
  const found = same.find((one) => wanted.protocol === undefined || protocolOf(one) === wanted.protocol);
  if (found !== undefined) return { port: found, number: found.port, protocol: protocolOf(found) };
  if (typeof wanted.port === "string") {
    throw new InputError("--port", `Service ${metadata.name} has no port "${wanted.port}"; it has ${list(ports.map(named))}`);
  }
  return { number: wanted.port, protocol: wanted.protocol ?? "tcp" };
}

function toNode(name: string, wanted: Wanted, objects: ClusterObjects): Resolved {
  const { addrs } = internalAddrsOf(findNode(objects, name, "TO"));
  const dst = ofFamily(addrs, wanted, objects);
  if (dst === undefined) return noAddress(`node ${name}`, addrs, wanted);
  const nodePort = nodePortTarget(objects, wanted);
  return asking({
    wanted,
    protocol: nodePort?.protocol,
    dst,
    port: wanted.port,
    to: nodePort?.to ?? { kind: "node", name },
    what: `node ${name}`,
  });
}

function nodePortTarget({ services }: ClusterObjects, wanted: Wanted): { readonly to: Target; readonly protocol: Protocol } | undefined {
  for (const service of services) {
    const port = service.spec?.ports?.find(
      (one) => one.nodePort === wanted.port && wanted.port !== undefined && (wanted.protocol ?? protocolOf(one)) === protocolOf(one),
    );
    if (port !== undefined) return { to: { kind: "service", service, port, via: "NodePort" }, protocol: protocolOf(port) };
  }
  return undefined;
}

/** Whose address it is: a Service's, a pod's, a node's, or nobody's. */
export function toAddress(addr: Addr, wanted: Wanted, objects: ClusterObjects): Resolved {
  const at = { ...wanted, family: addr.family };
  const service = serviceAt(objects, addr);
  if (service !== undefined) {
    const { port, number, protocol } = servicePort(service.service, at);
    const to: Target = { kind: "service", ...service, ...(port !== undefined && { port }) };
    return asking({ wanted: at, protocol, dst: addr, port: number, to, what: `Service ${keyOf(service.service)}` });
  }
  const pod = podOf(objects, addr);
  if (pod !== undefined) {
    const { port, protocol } = podPort(pod, at);
    return asking({ wanted: at, protocol, dst: addr, port, to: { kind: "pod", pod }, what: `pod ${keyOf(pod)}` });
  }
  const node = objects.nodes.find((one) => internalAddrsOf(one).addrs.some((own) => addrEquals(own, addr)));
  if (node !== undefined) {
    const nodePort = nodePortTarget(objects, at);
    const to: Target = nodePort?.to ?? { kind: "node", name: node.metadata.name };
    return asking({ wanted: at, protocol: nodePort?.protocol, dst: addr, port: at.port, to, what: `node ${node.metadata.name}` });
  }
  return asking({ wanted: at, protocol: undefined, dst: addr, port: at.port, to: { kind: "address" }, what: "" });
}

type ServiceAt = Pick<Extract<Target, { kind: "service" }>, "service" | "via">;

export function serviceAt({ services }: ClusterObjects, addr: Addr): ServiceAt | undefined {
  const text = formatAddr(addr);
  for (const service of services) {
    const { spec, status } = service;
    if (spec?.clusterIPs?.includes(text)) return { service, via: "ClusterIP" };
    if (spec?.externalIPs?.includes(text)) return { service, via: "ExternalIP" };
    if (status?.loadBalancer?.ingress?.some(({ ip }) => ip === text)) return { service, via: "LoadBalancer" };
  }
  return undefined;
}

interface Asking {
  readonly wanted: Wanted;
  readonly protocol: Protocol | undefined;
  readonly dst: Addr;
  readonly port: number | string | undefined;
  readonly to: Target;
  /** "" for an address that is nobody's. */
  readonly what: string;
}

function asking({ wanted, protocol: known, dst, port, to, what }: Asking): Resolved {
  const protocol = wanted.protocol ?? known ?? (port === undefined ? "icmp" : "tcp");
  if (typeof port === "string") throw new InputError("--port", `"${port}" names no port there; give its number`);
  if (protocol === "icmp") {
    const text = `${what === "" ? formatAddr(dst) : `${what} (${formatAddr(dst)})`}, echo`;
    return { kind: "ask", ask: { from: wanted.from, protocol, dst, to, text } };
  }
  if (port === undefined) throw new InputError("--port", `is needed for ${protocol}`);
  const at = formatAddrPort(dst, port);
  const ask: Ask = { from: wanted.from, protocol, dst, dstPort: port, to, text: `${what === "" ? at : `${what} at ${at}`}/${protocol}` };
  return { kind: "ask", ask };
}
