// Links of a proxied HTML page that begin with "/" are made to lead back through the proxy. After apimachinery
// `util/proxy/transport.go`: the same elements and attributes, and the same rules for which URL is changed. The page may come in any
// encoding that has ASCII in it: it is looked at byte by byte (latin1) and passed on as it came.
import { Transform } from "node:stream";

const LINKS: Readonly<Record<string, readonly string[]>> = {
  a: ["href"],
  applet: ["codebase"],
  area: ["href"],
  audio: ["src"],
  base: ["href"],
  blockquote: ["cite"],
  body: ["background"],
  button: ["formaction"],
  command: ["icon"],
  del: ["cite"],
  embed: ["src"],
  form: ["action"],
  frame: ["longdesc", "src"],
  head: ["profile"],
  html: ["manifest"],
  iframe: ["longdesc", "src"],
  img: ["longdesc", "src", "usemap"],
  input: ["formaction", "src", "usemap"],
  ins: ["cite"],
  link: ["href"],
  object: ["classid", "codebase", "data", "usemap"],
  q: ["cite"],
  script: ["src"],
  source: ["src"],
  video: ["poster", "src"],
};

/** Elements whose content is text, whatever it looks like (HTML standard, "raw text elements"). */
const RAW_TEXT: ReadonlySet<string> = new Set(["script", "style", "textarea", "title", "xmp"]);

const TAG = /^<([a-zA-Z][^\s/>]*)((?:[^>"']|"[^"]*"|'[^']*')*)>/;
/** A name without a value counts too: it is looked at once then, however long it is. */
const ATTRIBUTE = /([^\s=/>"']+)(?:(\s*=\s*)("[^"]*"|'[^']*'|[^\s>"']+))?/g;

/** So much of a tag or comment that does not end is taken for text, whatever is in it: a page is to cost what its length is. */
const MAX_PENDING = 1 << 16;

/** Maps the value of one link to what is to stand in its place. */
export type LinkMap = (url: string) => string;

/**
 * Whether a link is one to the target itself: with its host or without one, and with a path from the root that is not below `prefix`
 * already.
 */
export function linkMap(prefix: string, targetHosts: ReadonlySet<string>): LinkMap {
  return (url) => {
    const [, host = "", path = ""] = /^(?:https?:)?(?:\/\/([^/?#]*))?(.*)$/is.exec(url) ?? [];
    if (host === "" ? url !== path : !targetHosts.has(host)) return url;
    if (!path.startsWith("/") || path.startsWith(`${prefix}/`)) return url;
    return `${prefix}${path}`;
  };
}

/** The page as far as it is known: give it pieces, take pieces. */
export class HtmlLinks {
  readonly #map: LinkMap;
  #pending = "";
  /** Inside of which element, whose end alone is looked for. */
  #raw: string | undefined;

  constructor(map: LinkMap) {
    this.#map = map;
  }

  write(text: string): string {
    const all = this.#pending + text;
    this.#pending = "";
    let out = "";
    let at = 0;
    while (at < all.length) {
      const open = all.indexOf("<", at);
      if (open < 0) break;
      out += all.slice(at, open);
      at = open;
      const piece = this.#piece(all, open);
      if (piece === undefined && all.length - open < MAX_PENDING) {
        this.#pending = all.slice(open);
        return out;
      }
      const [length, replacement] = piece ?? [MAX_PENDING, all.slice(open, open + MAX_PENDING)];
      out += replacement;
      at += length;
    }
    return out + all.slice(at);
  }

  end(): string {
    return this.#pending;
  }

  /** What begins at `<`: its length, and what to write for it; undefined when its end has not come yet. */
  #piece(all: string, open: number): readonly [number, string] | undefined {
    if (this.#raw !== undefined) return this.#rawPiece(all, open, this.#raw);
    if (all.startsWith("<!--", open)) {
      const close = all.indexOf("-->", open + 4);
      return close < 0 ? undefined : [close + 3 - open, all.slice(open, close + 3)];
    }
    const next = all[open + 1];
    if (next === undefined || "<!--".startsWith(all.slice(open))) return undefined;
    if (!/[a-zA-Z]/.test(next)) return [1, "<"];
    const tag = TAG.exec(all.slice(open, open + MAX_PENDING));
    if (tag === null) return undefined;
    const [whole, name = "", attributes = ""] = tag;
    const element = name.toLowerCase();
    if (RAW_TEXT.has(element)) this.#raw = element;
    const names = LINKS[element];
    return [whole.length, names === undefined ? whole : `<${name}${this.#attributes(attributes, names)}>`];
  }

  #rawPiece(all: string, open: number, element: string): readonly [number, string] | undefined {
    const end = `</${element}`;
    const here = all.slice(open, open + end.length).toLowerCase();
    if (here === end) {
      this.#raw = undefined;
      return [end.length, all.slice(open, open + end.length)];
    }
    return end.startsWith(here) ? undefined : [1, "<"];
  }

  #attributes(text: string, names: readonly string[]): string {
    return text.replace(ATTRIBUTE, (whole, name: string, equals?: string, value = "") => {
      if (equals === undefined || !names.includes(name.toLowerCase())) return whole;
      const quote = value.startsWith('"') || value.startsWith("'") ? (value[0] ?? "") : "";
      return `${name}${equals}${quote}${this.#map(quote === "" ? value : value.slice(1, -1))}${quote}`;
    });
  }
}

export function htmlLinkStream(map: LinkMap): Transform {
  const links = new HtmlLinks(map);
  return new Transform({
    transform: (chunk: Buffer, _, done) => done(null, Buffer.from(links.write(chunk.toString("latin1")), "latin1")),
    flush: (done) => done(null, Buffer.from(links.end(), "latin1")),
  });
}
