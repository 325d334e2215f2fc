// resource.Quantity: fixed-point numbers with a suffix (apimachinery `api/resource/quantity.go`), kept as whole nanos.
import { InputError } from "#base";

/** Which suffixes a quantity was written with, and is written with again. */
export type QuantityFormat = "DecimalSI" | "BinarySI" | "DecimalExponent";

export interface Quantity {
  /** The value times 10^9. Nothing finer can be represented. */
  readonly nanos: bigint;
  readonly format: QuantityFormat;
}

const NANO = 1_000_000_000n;
const MAX_BINARY = ((1n << 63n) - 1n) * NANO;
/** Beyond this a quantity is an attack, not an amount. */
const MAX_EXPONENT = 100;

const WRONG_FORMAT = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
const WRONG_SUFFIX = "unable to parse quantity's suffix";

const DECIMAL: ReadonlyMap<string, number> = new Map([
  ["n", -9],
  ["u", -6],
  ["m", -3],
  ["", 0],
  ["k", 3],
  ["M", 6],
  ["G", 9],
  ["T", 12],
  ["P", 15],
  ["E", 18],
]);
const BINARY: ReadonlyMap<string, number> = new Map([
  ["Ki", 10],
  ["Mi", 20],
  ["Gi", 30],
  ["Ti", 40],
  ["Pi", 50],
  ["Ei", 60],
]);
const DECIMAL_SUFFIX: ReadonlyMap<number, string> = new Map([...DECIMAL].map(([suffix, exponent]) => [exponent, suffix]));
const BINARY_SUFFIX: readonly string[] = ["", ...BINARY.keys()];

interface Scale {
  readonly numerator: bigint;
  readonly denominator: bigint;
  readonly format: QuantityFormat;
}

function scaleOf(suffix: string): Scale | undefined {
  const binary = BINARY.get(suffix);
  if (binary !== undefined) return { numerator: 1n << BigInt(binary), denominator: 1n, format: "BinarySI" };
  const decimal = DECIMAL.get(suffix);
  if (decimal !== undefined) return powerOfTen(decimal, "DecimalSI");
  if (!/^[eE][-+]?\d+$/.test(suffix)) return undefined;
  const exponent = Number(suffix.slice(1));
  return Math.abs(exponent) > MAX_EXPONENT ? undefined : powerOfTen(exponent, "DecimalExponent");
}

function powerOfTen(exponent: number, format: QuantityFormat): Scale {
  const power = 10n ** BigInt(Math.abs(exponent));
  return exponent < 0 ? { numerator: 1n, denominator: power, format } : { numerator: power, denominator: 1n, format };
}

/**
 * Parses "100m", "1.5Gi", "2e3". Amounts finer than a nano are rounded away from zero, so that a little stays more than nothing.
 * Throws InputError in upstream's words.
 */
export function parseQuantity(text: string, field = "quantity"): Quantity {
  const match = /^([+-]?)(\d*)(?:\.(\d*))?([eEinumkKMGTP]*[-+]?\d*)$/.exec(text);
  const [, sign = "", whole = "", fraction = "", suffix = ""] = match ?? [];
  if (match === null || (whole === "" && fraction === "")) throw new InputError(field, WRONG_FORMAT);
  const scale = scaleOf(suffix);
  if (scale === undefined) throw new InputError(field, WRONG_SUFFIX);
  const digits = BigInt(whole + fraction);
  const denominator = scale.denominator * 10n ** BigInt(fraction.length);
  let nanos = divideUp(digits * scale.numerator * NANO, denominator);
  let format = scale.format;
  if (format === "BinarySI") {
    if (nanos > MAX_BINARY) nanos = MAX_BINARY;
    if (nanos > 0n && nanos < NANO) format = "DecimalSI";
  }
  return { nanos: sign === "-" ? -nanos : nanos, format };
}

export function tryParseQuantity(text: string): Quantity | undefined {
  try {
    return parseQuantity(text);
  } catch {
    return undefined;
  }
}

function divideUp(n: bigint, d: bigint): bigint {
  return n > 0n ? (n + d - 1n) / d : n / d;
}

/** The canonical text: no fraction, the largest suffix that keeps the value exact ("1000m" is "1", "0.1" is "100m"). */
export function formatQuantity(quantity: Quantity): string {
  const { nanos, format } = quantity;
  if (nanos === 0n) return "0";
  if (format === "BinarySI" && nanos % NANO === 0n && absolute(nanos) >= 1024n * NANO) return formatBinary(nanos / NANO);
  return formatDecimal(nanos, format === "DecimalExponent");
}

function formatBinary(value: bigint): string {
  let rest = value;
  let power = 0;
  while (rest % 1024n === 0n && power < BINARY_SUFFIX.length - 1) {
    rest /= 1024n;
    power++;
  }
  return `${rest}${BINARY_SUFFIX[power]}`;
}

function formatDecimal(nanos: bigint, exponential: boolean): string {
  let rest = nanos;
  let exponent = -9;
  while (rest % 1000n === 0n) {
    rest /= 1000n;
    exponent += 3;
  }
  if (exponent === 0) return rest.toString();
  const suffix = exponential ? undefined : DECIMAL_SUFFIX.get(exponent);
  return `${rest}${suffix ?? `e${exponent}`}`;
}

function absolute(n: bigint): bigint {
  return n < 0n ? -n : n;
}

export function compareQuantities(a: Quantity, b: Quantity): -1 | 0 | 1 {
  if (a.nanos === b.nanos) return 0;
  return a.nanos < b.nanos ? -1 : 1;
}

/** The sum, in the format of `a` (of `b`, where `a` is zero). */
export function addQuantities(a: Quantity, b: Quantity): Quantity {
  return { nanos: a.nanos + b.nanos, format: a.nanos === 0n ? b.format : a.format };
}

export function subtractQuantities(a: Quantity, b: Quantity): Quantity {
  return { nanos: a.nanos - b.nanos, format: a.nanos === 0n ? b.format : a.format };
}

/** The value as a whole number, rounded up: bytes of memory, number of pods. */
export function quantityValue(quantity: Quantity): bigint {
  return roundAway(quantity.nanos, NANO);
}

/** The value in thousandths, rounded up: millicores. */
export function quantityMilliValue(quantity: Quantity): bigint {
  return roundAway(quantity.nanos, NANO / 1000n);
}

function roundAway(nanos: bigint, unit: bigint): bigint {
  return nanos < 0n ? -divideUp(-nanos, unit) : divideUp(nanos, unit);
}
