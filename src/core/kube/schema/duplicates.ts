// Fields that a JSON text has twice: JSON.parse keeps the last one and says nothing, the API's strict mode must tell.

/** Reads only as much of JSON as it takes to know where objects, keys and items begin. */
class Scanner {
  readonly found: string[] = [];
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  value(path: string): void {
    this.#skipSpace();
    const first = this.#text[this.#at];
    if (first === "{") this.#object(path);
    else if (first === "[") this.#array(path);
    else if (first === '"') this.#string();
    else while (this.#at < this.#text.length && !",]} \t\r\n".includes(this.#text.charAt(this.#at))) this.#at++;
  }

  #object(path: string): void {
    const keys = new Set<string>();
    this.#at++;
    while (!this.#ends("}")) {
      const key = this.#string();
      const inner = path === "" ? key : `${path}.${key}`;
      if (keys.has(key)) this.found.push(`duplicate field ${JSON.stringify(inner)}`);
      keys.add(key);
      this.#skipSpace();
      this.#at++;
      this.value(inner);
      this.#skipComma();
    }
  }

  #array(path: string): void {
    this.#at++;
    for (let i = 0; !this.#ends("]"); i++) {
      this.value(`${path}[${i}]`);
      this.#skipComma();
    }
  }

  #string(): string {
    const start = this.#at;
    this.#at++;
    while (this.#at < this.#text.length && this.#text[this.#at] !== '"') this.#at += this.#text[this.#at] === "\\" ? 2 : 1;
    this.#at++;
    const text: unknown = JSON.parse(this.#text.slice(start, this.#at));
    return String(text);
  }

  /** Goes past the closing bracket, when that is next. */
  #ends(bracket: string): boolean {
    this.#skipSpace();
    if (this.#at < this.#text.length && this.#text[this.#at] !== bracket) return false;
    this.#at++;
    return true;
  }

  #skipComma(): void {
    this.#skipSpace();
    if (this.#text[this.#at] === ",") this.#at++;
    this.#skipSpace();
  }

  #skipSpace(): void {
    while (this.#at < this.#text.length && this.#text.charCodeAt(this.#at) <= 0x20) this.#at++;
  }
}

/** `duplicate field "spec.ports[0].name"` for each key that an object has more than once; `json` must have been parsed before. */
export function duplicateFields(json: string): string[] {
  const scanner = new Scanner(json);
  scanner.value("");
  return scanner.found;
}
