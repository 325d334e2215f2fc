// Command-line flags as Go programs take them (spf13/pflag): `--name value`, `--name=value`, `-n value`, and booleans that may
// be switched off with `--name=false`.

export type FlagDefault = string | number | boolean;

export interface Flags<T extends Readonly<Record<string, FlagDefault>>> {
  readonly values: { -readonly [K in keyof T]: T[K] extends boolean ? boolean : T[K] extends number ? number : string };
  readonly args: readonly string[];
}

export class FlagError extends Error {}

/** `defaults` names the flags and gives their types; `short` maps one-letter names. Throws FlagError. */
export function parseFlags<const T extends Readonly<Record<string, FlagDefault>>>(
  argv: readonly string[],
  defaults: T,
  short: Readonly<Record<string, keyof T & string>> = {},
): Flags<T> {
  const values: Record<string, FlagDefault> = { ...defaults };
  const args: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] ?? "";
    if (word === "--") {
      args.push(...argv.slice(i + 1));
      break;
    }
    if (!word.startsWith("-") || word === "-") {
      args.push(word);
      continue;
    }
    const [flag, inline] = splitOnce(word.replace(/^--?/, ""), "=");
    const name = word.startsWith("--") ? flag : (short[flag] ?? flag);
    const fallback = defaults[name];
    if (fallback === undefined) throw new FlagError(`unknown flag: ${word}`);
    const needsValue = typeof fallback !== "boolean" && inline === undefined;
    if (needsValue) i++;
    values[name] = parseValue(name, fallback, needsValue ? argv[i] : inline);
  }
  return { values: values as Flags<T>["values"], args };
}

function splitOnce(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}

function parseValue(name: string, fallback: FlagDefault, text: string | undefined): FlagDefault {
  if (typeof fallback === "boolean") {
    if (text === undefined || text === "true" || text === "1") return true;
    if (text === "false" || text === "0") return false;
    throw new FlagError(`invalid argument "${text}" for "--${name}" flag: not true or false`);
  }
  if (text === undefined) throw new FlagError(`flag needs an argument: --${name}`);
  if (typeof fallback === "string") return text;
  if (!/^-?\d+$/.test(text)) throw new FlagError(`invalid argument "${text}" for "--${name}" flag: not a whole number`);
  return Number(text);
}

const UNIT_MS: Readonly<Record<string, number>> = { ns: 1e-6, us: 1e-3, µs: 1e-3, ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Milliseconds of a Go duration such as "1m30s", "500ms" or "0"; undefined when it is none (Go `time.ParseDuration`). */
export function parseDuration(text: string): number | undefined {
  if (text === "0") return 0;
  if (!/^([\d.]+(ns|us|µs|ms|s|m|h))+$/.test(text)) return undefined;
  let total = 0;
  for (const [, amount = "", unit = ""] of text.matchAll(/([\d.]+)(ns|us|µs|ms|s|m|h)/g)) {
    total += Number(amount) * (UNIT_MS[unit] ?? Number.NaN);
  }
  return Number.isNaN(total) ? undefined : total;
}
