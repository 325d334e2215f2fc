// Label selectors in both of their forms: text (`a=b,c in (x,y),!d`) and metav1.LabelSelector. After apimachinery `labels/selector.go`.
import type { LabelSelector } from "kubernetes-types/meta/v1";
import { FairleadError } from "#base";

export type LabelOperator = "=" | "==" | "!=" | "in" | "notin" | "exists" | "!" | "gt" | "lt";

export interface LabelRequirement {
  readonly key: string;
  readonly operator: LabelOperator;
  readonly values: readonly string[];
}

/** All requirements must hold. An empty list selects everything; `undefined` (no selector at all) is for the caller to decide. */
export type ParsedLabelSelector = readonly LabelRequirement[];

export type Labels = Readonly<Record<string, string>>;

/** Thrown when a selector cannot be understood; the message has upstream's words, since clients show it to people. */
export class SelectorError extends FairleadError {
  constructor(message: string) {
    super(message, { code: "BadRequest" });
  }
}

interface Token {
  readonly kind: "symbol" | "word" | "end";
  readonly text: string;
}

const SYMBOLS = /^(?:==|!=|[=!(),<>])/;
const WORD = /^[^\s=!(),<>]+/;
const BINARY_OPERATORS: ReadonlyMap<string, LabelOperator> = new Map([
  ["in", "in"],
  ["notin", "notin"],
  ["=", "="],
  ["==", "=="],
  ["!=", "!="],
  [">", "gt"],
  ["<", "lt"],
]);
const OPERATOR_LIST = "in, notin, =, ==, !=, gt, lt";

function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  let rest = text.trimStart();
  while (rest !== "") {
    const symbol = SYMBOLS.exec(rest)?.[0];
    const token: Token = symbol === undefined ? { kind: "word", text: WORD.exec(rest)?.[0] ?? rest } : { kind: "symbol", text: symbol };
    tokens.push(token);
    rest = rest.slice(token.text.length).trimStart();
  }
  tokens.push({ kind: "end", text: "" });
  return tokens;
}

class TokenReader {
  readonly #tokens: readonly Token[];
  #next = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  peek(): Token {
    return this.#tokens[this.#next] ?? { kind: "end", text: "" };
  }

  take(): Token {
    const token = this.peek();
    this.#next++;
    return token;
  }

  takeSymbol(text: string): boolean {
    const token = this.peek();
    const found = token.kind === "symbol" && token.text === text;
    if (found) this.#next++;
    return found;
  }
}

/** Parses `a=b,c!=d,e in (x,y),f notin (z),g,!h,i>1`. The empty text selects everything. Throws SelectorError. */
export function parseLabelSelector(text: string): ParsedLabelSelector {
  const reader = new TokenReader(tokenize(text));
  const requirements: LabelRequirement[] = [];
  if (reader.peek().kind === "end") return requirements;
  for (;;) {
    const first = reader.peek();
    if (!startsRequirement(first)) throw new SelectorError(`found '${first.text}', expected: !, identifier, or 'end of string'`);
    requirements.push(parseRequirement(reader));
    const separator = reader.take();
    if (separator.kind === "end") return sortByKey(requirements);
    if (separator.text !== ",") throw new SelectorError(`found '${separator.text}', expected: ',' or 'end of string'`);
    const next = reader.peek();
    if (!startsRequirement(next)) throw new SelectorError(`found '${next.text}', expected: identifier after ','`);
  }
}

function startsRequirement(token: Token): boolean {
  return token.kind === "word" || token.text === "!";
}

function sortByKey(requirements: LabelRequirement[]): LabelRequirement[] {
  return requirements.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
}

function parseRequirement(reader: TokenReader): LabelRequirement {
  const negated = reader.takeSymbol("!");
  const key = reader.take();
  if (key.kind !== "word") throw unparsable(`found '${key.text}', expected: identifier`);
  if (negated) return requirement(key.text, "!", []);
  const next = reader.peek();
  if (next.kind === "end" || next.text === ",") return requirement(key.text, "exists", []);
  reader.take();
  const operator = BINARY_OPERATORS.get(next.text);
  if (operator === undefined) throw unparsable(`found '${next.text}', expected: ${OPERATOR_LIST}`);
  const values = operator === "in" || operator === "notin" ? parseList(reader) : [parseExactValue(reader)];
  return requirement(key.text, operator, values);
}

function unparsable(message: string): SelectorError {
  return new SelectorError(`unable to parse requirement: ${message}`);
}

/** `a=` and `a=,b` compare with the empty value. */
function parseExactValue(reader: TokenReader): string {
  const token = reader.peek();
  if (token.kind === "end" || token.text === ",") return "";
  if (token.kind !== "word") throw unparsable(`found '${token.text}', expected: identifier`);
  return reader.take().text;
}

function parseList(reader: TokenReader): string[] {
  const values = new Set<string>();
  if (!reader.takeSymbol("(")) throw unparsable(`found '${reader.peek().text}' expected: '('`);
  for (;;) {
    const token = reader.take();
    if (token.kind === "word") {
      values.add(token.text);
      if (reader.takeSymbol(")")) return [...values].sort();
      if (!reader.takeSymbol(",")) throw unparsable(`found '${reader.peek().text}', expected: ',' or ')'`);
    } else if (token.text === ")") {
      values.add("");
      return [...values].sort();
    } else if (token.text === ",") values.add("");
    else throw unparsable(`found '${token.text}', expected: ',', ')' or identifier`);
  }
}

function requirement(key: string, operator: LabelOperator, values: readonly string[]): LabelRequirement {
  const problem = labelKeyProblem(key) ?? values.map(labelValueProblem).find((p) => p !== undefined);
  if (problem !== undefined) throw unparsable(problem);
  if ((operator === "gt" || operator === "lt") && !/^[+-]?\d+$/.test(values[0] ?? "")) {
    throw unparsable(`values[0][${key}]: Invalid value: "${values[0] ?? ""}": for 'Gt', 'Lt' operators, the value must be an integer`);
  }
  return { key, operator, values };
}

const NAME = /^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/;
const DNS_NAME = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

/** Why `key` is not a label key (a qualified name: `[prefix/]name`), or undefined. After apimachinery `util/validation`. */
export function labelKeyProblem(key: string): string | undefined {
  const parts = key.split("/");
  const name = parts.pop() ?? "";
  const prefix = parts.join("/");
  if (parts.length > 1 || name === "" || name.length > 63 || !NAME.test(name) || (parts.length === 1 && !isPrefix(prefix))) {
    return (
      `key: Invalid value: "${key}": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an ` +
      "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc'), at most 63 of them, with an optional DNS subdomain prefix and " +
      "'/' (e.g. 'example.com/MyName')"
    );
  }
  return undefined;
}

function isPrefix(prefix: string): boolean {
  return prefix.length <= 253 && DNS_NAME.test(prefix);
}

export function labelValueProblem(value: string): string | undefined {
  if (value === "" || (value.length <= 63 && NAME.test(value))) return undefined;
  return (
    `values: Invalid value: "${value}": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', ` +
    "and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345'), at most 63 of them"
  );
}

export function matchLabels(selector: ParsedLabelSelector, labels: Labels | undefined): boolean {
  return selector.every((r) => matchesRequirement(r, labels !== undefined && Object.hasOwn(labels, r.key) ? labels[r.key] : undefined));
}

function matchesRequirement(r: LabelRequirement, value: string | undefined): boolean {
  switch (r.operator) {
    case "exists":
      return value !== undefined;
    case "!":
      return value === undefined;
    case "=":
    case "==":
    case "in":
      return value !== undefined && r.values.includes(value);
    case "!=":
    case "notin":
      return value === undefined || !r.values.includes(value);
    case "gt":
    case "lt":
      return value !== undefined && /^[+-]?\d+$/.test(value) && comparesAs(r.operator, BigInt(value), BigInt(r.values[0] ?? "0"));
  }
}

function comparesAs(operator: "gt" | "lt", value: bigint, bound: bigint): boolean {
  return operator === "gt" ? value > bound : value < bound;
}

/** The text form, requirements sorted by key; "" for everything. */
export function formatParsedSelector(selector: ParsedLabelSelector): string {
  return selector.map(formatRequirement).join(",");
}

function formatRequirement(r: LabelRequirement): string {
  switch (r.operator) {
    case "exists":
      return r.key;
    case "!":
      return `!${r.key}`;
    case "in":
    case "notin":
      return `${r.key} ${r.operator} (${r.values.join(",")})`;
    case "gt":
    case "lt":
      return `${r.key}${r.operator === "gt" ? ">" : "<"}${r.values[0] ?? ""}`;
    default:
      return `${r.key}${r.operator}${r.values[0] ?? ""}`;
  }
}

const OBJECT_OPERATORS: ReadonlyMap<string, LabelOperator> = new Map([
  ["In", "in"],
  ["NotIn", "notin"],
  ["Exists", "exists"],
  ["DoesNotExist", "!"],
]);

/**
 * The requirements of a metav1.LabelSelector. An empty selector selects everything; an absent one selects nothing, which is
 * `undefined` here: `selectorOf(x) !== undefined && matchLabels(…)`, or `matchLabelSelector`.
 */
export function selectorOf(selector: LabelSelector | undefined): ParsedLabelSelector | undefined {
  if (selector === undefined) return undefined;
  const requirements: LabelRequirement[] = Object.entries(selector.matchLabels ?? {}).map(([key, value]) => ({
    key,
    operator: "=",
    values: [value],
  }));
  for (const { key, operator, values } of selector.matchExpressions ?? []) {
    const known = OBJECT_OPERATORS.get(operator);
    if (known === undefined) throw new SelectorError(`"${operator}" is not a valid label selector operator`);
    requirements.push({ key, operator: known, values: [...(values ?? [])].sort() });
  }
  return sortByKey(requirements);
}

/** Whether the labels match a metav1.LabelSelector; an absent selector matches nothing. */
export function matchLabelSelector(selector: LabelSelector | undefined, labels: Labels | undefined): boolean {
  const parsed = selectorOf(selector);
  return parsed !== undefined && matchLabels(parsed, labels);
}

/** The requirements of a plain label map (a Service's `spec.selector`). */
export function selectorOfMap(map: Labels | undefined): ParsedLabelSelector {
  return selectorOf({ matchLabels: { ...map } }) ?? [];
}

/** As `kubectl get -o wide` and Scale's `status.selector` write a metav1.LabelSelector: `<none>` when it is empty. */
export function formatLabelSelector(selector: LabelSelector | undefined): string {
  try {
    const text = formatParsedSelector(selectorOf(selector) ?? []);
    return text === "" ? "<none>" : text;
  } catch {
    return "<error>";
  }
}
