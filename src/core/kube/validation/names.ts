// What names, labels, ports and addresses must look like, and how it is said: apimachinery `util/validation/validation.go`.
// Each function gives the details of what is wrong; none when the value is right.
import { type Addr, formatAddr, tryParseAddr, tryParsePrefix } from "#ip";

function regexError(message: string, format: string, ...examples: readonly string[]): string {
  const shown = examples.map((example) => `'${example}', `).join(" or ");
  return examples.length === 0
    ? `${message} (regex used for validation is '${format}')`
    : `${message} (e.g. ${shown}regex used for validation is '${format}')`;
}

function maxLength(length: number): string {
  return `must be no more than ${length} characters`;
}

const LABEL_FORMAT = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN_FORMAT = `${LABEL_FORMAT}(\\.${LABEL_FORMAT})*`;
const LABEL_1035_FORMAT = "[a-z]([-a-z0-9]*[a-z0-9])?";
const QUALIFIED_FORMAT = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const LABEL_VALUE_FORMAT = `(${QUALIFIED_FORMAT})?`;

interface Rule {
  readonly pattern: RegExp;
  readonly max: number;
  readonly message: string;
}

function whole(format: string): RegExp {
  return new RegExp(`^${format}$`);
}

function check(value: string, { pattern, max, message }: Rule): string[] {
  const problems: string[] = [];
  if (value.length > max) problems.push(maxLength(max));
  if (!pattern.test(value)) problems.push(message);
  return problems;
}

const LABEL: Rule = {
  pattern: whole(LABEL_FORMAT),
  max: 63,
  message: regexError(
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
    LABEL_FORMAT,
    "my-name",
    "123-abc",
  ),
};

const SUBDOMAIN: Rule = {
  pattern: whole(SUBDOMAIN_FORMAT),
  max: 253,
  message: regexError(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
    SUBDOMAIN_FORMAT,
    "example.com",
  ),
};

const LABEL_1035: Rule = {
  pattern: whole(LABEL_1035_FORMAT),
  max: 63,
  message: regexError(
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
    LABEL_1035_FORMAT,
    "my-name",
    "abc-123",
  ),
};

const WILDCARD: Rule = {
  pattern: whole(`\\*\\.${SUBDOMAIN_FORMAT}`),
  max: 253,
  message: regexError(
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
    `\\*\\.${SUBDOMAIN_FORMAT}`,
    "*.example.com",
  ),
};

const LABEL_VALUE: Rule = {
  pattern: whole(LABEL_VALUE_FORMAT),
  max: 63,
  message: regexError(
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
    LABEL_VALUE_FORMAT,
    "MyValue",
    "my_value",
    "12345",
  ),
};

export const isDns1123Label = (value: string): string[] => check(value, LABEL);
export const isDns1123Subdomain = (value: string): string[] => check(value, SUBDOMAIN);
export const isDns1035Label = (value: string): string[] => check(value, LABEL_1035);
export const isWildcardDns1123Subdomain = (value: string): string[] => check(value, WILDCARD);
export const isLabelValue = (value: string): string[] => check(value, LABEL_VALUE);

const QUALIFIED: RegExp = whole(QUALIFIED_FORMAT);
const QUALIFIED_MESSAGE = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
const QUALIFIED_EXAMPLES: readonly string[] = ["MyName", "my.name", "123-abc"];

/** `[prefix/]name`, as label keys and finalizers are. */
export function isQualifiedName(value: string): string[] {
  const parts = value.split("/");
  if (parts.length > 2) {
    return [
      `a qualified name ${regexError(QUALIFIED_MESSAGE, QUALIFIED_FORMAT, ...QUALIFIED_EXAMPLES)} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`,
    ];
  }
  const problems: string[] = [];
  const [prefix, name] = parts.length === 2 ? parts : [undefined, parts[0]];
  if (prefix === "") problems.push("prefix part must be non-empty");
  else if (prefix !== undefined) problems.push(...isDns1123Subdomain(prefix).map((problem) => `prefix part ${problem}`));
  if (name === undefined || name === "") problems.push("name part must be non-empty");
  else if (name.length > 63) problems.push(`name part ${maxLength(63)}`);
  if (!QUALIFIED.test(name ?? "")) problems.push(`name part ${regexError(QUALIFIED_MESSAGE, QUALIFIED_FORMAT, ...QUALIFIED_EXAMPLES)}`);
  return problems;
}

/** `acme.io/foo`: the prefix is not optional. */
export function isDomainPrefixedKey(value: string): string[] {
  return value.includes("/") ? isQualifiedName(value) : ['must be a domain-prefixed key (such as "acme.io/foo")'];
}

/** An IANA service name (RFC 6335 §5.1), as named ports are. */
export function isPortName(value: string): string[] {
  const problems: string[] = [];
  if (value.length > 15) problems.push(maxLength(15));
  if (!/^[-a-z0-9]+$/.test(value)) problems.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
  if (!/[a-z]/.test(value)) problems.push("must contain at least one letter (a-z)");
  if (value.includes("--")) problems.push("must not contain consecutive hyphens");
  if (value.startsWith("-") || value.endsWith("-")) problems.push("must not begin or end with a hyphen");
  return problems;
}

export function inclusiveRange(low: number, high: number): string {
  return `must be between ${low} and ${high}, inclusive`;
}

export function isPortNumber(port: number): string[] {
  return port >= 1 && port <= 65_535 ? [] : [inclusiveRange(1, 65_535)];
}

/** A key of a ConfigMap or Secret, which becomes a file name. */
export function isConfigMapKey(value: string): string[] {
  const problems: string[] = [];
  if (value.length > 253) problems.push(maxLength(253));
  if (!/^[-._a-zA-Z0-9]+$/.test(value)) {
    problems.push(
      regexError(
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
        "[-._a-zA-Z0-9]+",
        "key.name",
        "KEY_NAME",
        "key-name",
      ),
    );
  }
  if (value === "." || value === "..") problems.push(`must not be '${value}'`);
  else if (value.startsWith("..")) problems.push("must not start with '..'");
  return problems;
}

/** Since 1.32, everything that can be printed but '=' (RelaxedEnvironmentVariableValidation). */
export function isEnvVarName(value: string): string[] {
  if (/^[ -<>-~]+$/.test(value)) return [];
  return [regexError("a valid environment variable name must consist only of printable ASCII characters other than '='", "[ -<>-~]+")];
}

/** Some names are part of paths. */
export function isPathSegment(value: string): string[] {
  if (value === "." || value === "..") return [`may not be '${value}'`];
  return ["/", "%"].filter((part) => value.includes(part)).map((part) => `may not contain '${part}'`);
}

export const NOT_AN_IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
const NOT_A_CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

export function isIp(value: string): string[] {
  return tryParseAddr(value) === undefined ? [NOT_AN_IP] : [];
}

/** An address in the one form that it is printed in: names of objects must not be two for one address. */
export function isCanonicalIp(value: string): string[] {
  const addr = tryParseAddr(value);
  if (addr === undefined) return [NOT_AN_IP];
  return formatAddr(addr) === value ? [] : [`must be in canonical form ("${formatAddr(addr)}")`];
}

export function isCidr(value: string): string[] {
  return tryParsePrefix(value) === undefined ? [NOT_A_CIDR] : [];
}

/** Addresses that cannot be an endpoint or an external address (`ValidateNonSpecialIP`). */
export function isNonSpecialIp(value: string): string[] {
  const addr = tryParseAddr(value);
  if (addr === undefined) return [NOT_AN_IP];
  const problems: string[] = [];
  const [a = 0, b = 0] = addr.bytes;
  const v4 = addr.family === 4;
  if (addr.bytes.every((byte) => byte === 0)) problems.push(`may not be unspecified (${value})`);
  if (v4 ? a === 127 : isLoopback6(addr)) problems.push("may not be in the loopback range (127.0.0.0/8, ::1/128)");
  if (v4 ? a === 169 && b === 254 : a === 0xfe && (b & 0xc0) === 0x80)
    problems.push("may not be in the link-local range (169.254.0.0/16, fe80::/10)");
  if (v4 ? a === 224 && b === 0 && addr.bytes[2] === 0 : a === 0xff && (b & 0x0f) === 2) {
    problems.push("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
  }
  return problems;
}

function isLoopback6(addr: Addr): boolean {
  return addr.bytes.at(-1) === 1 && addr.bytes.subarray(0, 15).every((byte) => byte === 0);
}
