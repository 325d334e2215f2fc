// EndpointSlices (`pkg/apis/discovery/validation`) and Endpoints (`pkg/apis/core/validation` ValidateEndpoints).
import type { EndpointPort as CoreEndpointPort, EndpointAddress, Endpoints } from "kubernetes-types/core/v1";
import type { Endpoint, EndpointPort, EndpointSlice } from "kubernetes-types/discovery/v1";
import { tryParseAddr } from "#ip";
import { isDns1123Label, isDns1123Subdomain, isLabelValue, isNonSpecialIp, isPortNumber, isQualifiedName } from "./names.ts";
import type { Problems } from "./problems.ts";

const ADDRESS_TYPES: readonly string[] = ["FQDN", "IPv4", "IPv6"];
const PROTOCOLS: readonly string[] = ["SCTP", "TCP", "UDP"];
const MAX_ENDPOINTS = 1000;
const MAX_ADDRESSES = 100;
const MAX_HINTS = 8;
/** The API's text says 100; this is what is enforced. */
const MAX_PORTS = 20_000;

export function validateEndpointSlice(problems: Problems, slice: EndpointSlice): void {
  problems.oneOf("addressType", slice.addressType, ADDRESS_TYPES);
  const endpoints = slice.endpoints ?? [];
  if (endpoints.length > MAX_ENDPOINTS) {
    problems.tooMany("endpoints", endpoints.length, MAX_ENDPOINTS);
    return;
  }
  for (const [i, endpoint] of endpoints.entries()) validateEndpoint(problems, `endpoints[${i}]`, endpoint, slice.addressType);
  validatePorts(problems, slice.ports ?? []);
}

function validateEndpoint(problems: Problems, path: string, endpoint: Endpoint, type: string): void {
  const { hostname, nodeName, zone, hints } = endpoint;
  const addresses = endpoint.addresses ?? [];
  if (addresses.length === 0) problems.required(`${path}.addresses`, "must contain at least 1 address");
  else if (addresses.length > MAX_ADDRESSES) problems.tooMany(`${path}.addresses`, addresses.length, MAX_ADDRESSES);
  for (const [i, address] of addresses.entries()) problems.invalidEach(`${path}.addresses[${i}]`, address, addressProblems(address, type));
  if (hostname !== undefined) problems.invalidEach(`${path}.hostname`, hostname, isDns1123Label(hostname));
  if (nodeName !== undefined) problems.invalidEach(`${path}.nodeName`, nodeName, isDns1123Subdomain(nodeName));
  if (zone !== undefined) problems.invalidEach(`${path}.zone`, zone, isLabelValue(zone));
  const { forZones, forNodes }: Hints = hints ?? {};
  validateHints(problems, `${path}.hints.forZones`, forZones, isLabelValue);
  validateHints(problems, `${path}.hints.forNodes`, forNodes, isDns1123Subdomain);
}

/** `forNodes` came with Kubernetes 1.33. */
interface Hints {
  readonly forZones?: readonly Hint[];
  readonly forNodes?: readonly Hint[];
}

interface Hint {
  readonly name: string;
}

function validateHints(problems: Problems, path: string, hints: readonly Hint[] = [], check = isLabelValue): void {
  if (hints.length > MAX_HINTS) problems.tooMany(path, hints.length, MAX_HINTS);
  const seen = new Set<string>();
  for (const [i, { name }] of hints.entries()) {
    const at = `${path}[${i}].name`;
    if (!name) problems.required(at);
    else problems.invalidEach(at, name, check(name));
    if (seen.has(name)) problems.duplicate(at, name);
    seen.add(name);
  }
}

function addressProblems(address: string, type: string): string[] {
  if (type === "FQDN") return isDns1123Subdomain(address);
  if (type !== "IPv4" && type !== "IPv6") return [];
  const family = tryParseAddr(address)?.family;
  if (`IPv${family}` !== type) return [`must be a valid ${type} address`];
  return isNonSpecialIp(address);
}

function validatePorts(problems: Problems, ports: readonly EndpointPort[]): void {
  if (ports.length > MAX_PORTS) {
    problems.tooMany("ports", ports.length, MAX_PORTS);
    return;
  }
  const names = new Set<string>();
  for (const [i, { name, port, protocol, appProtocol }] of ports.entries()) {
    const at = `ports[${i}]`;
    if (name) problems.invalidEach(`${at}.name`, name, isDns1123Label(name));
    if (names.has(name ?? "")) problems.duplicate(`${at}.name`, name ?? "");
    names.add(name ?? "");
    problems.oneOf(`${at}.protocol`, protocol, PROTOCOLS);
    if (port !== undefined) problems.invalidEach(`${at}.port`, port, isPortNumber(port));
    if (appProtocol !== undefined) problems.invalidEach(`${at}.appProtocol`, appProtocol, isQualifiedName(appProtocol));
  }
}

export function validateEndpointSliceUpdate(problems: Problems, slice: EndpointSlice, old: EndpointSlice): void {
  problems.immutable("addressType", slice.addressType, old.addressType);
}

export function validateEndpoints(problems: Problems, { subsets = [] }: Endpoints): void {
  for (const [i, { addresses = [], notReadyAddresses = [], ports = [] }] of subsets.entries()) {
    const at = `subsets[${i}]`;
    if (addresses.length + notReadyAddresses.length === 0) problems.required(at, "must specify `addresses` or `notReadyAddresses`");
    for (const [j, address] of addresses.entries()) validateAddress(problems, `${at}.addresses[${j}]`, address);
    for (const [j, address] of notReadyAddresses.entries()) validateAddress(problems, `${at}.notReadyAddresses[${j}]`, address);
    for (const [j, port] of ports.entries()) validateCorePort(problems, `${at}.ports[${j}]`, port, ports.length > 1);
  }
}

function validateAddress(problems: Problems, path: string, { ip, hostname, nodeName }: EndpointAddress): void {
  problems.invalidEach(`${path}.ip`, ip ?? "", isNonSpecialIp(ip ?? ""));
  if (hostname) problems.invalidEach(`${path}.hostname`, hostname, isDns1123Label(hostname));
  if (nodeName !== undefined) problems.invalidEach(`${path}.nodeName`, nodeName, isDns1123Subdomain(nodeName));
}

function validateCorePort(problems: Problems, path: string, port: CoreEndpointPort, needsName: boolean): void {
  if (port.name) problems.invalidEach(`${path}.name`, port.name, isDns1123Label(port.name));
  else if (needsName) problems.required(`${path}.name`);
  problems.invalidEach(`${path}.port`, port.port ?? 0, isPortNumber(port.port ?? 0));
  problems.oneOf(`${path}.protocol`, port.protocol, PROTOCOLS);
}
