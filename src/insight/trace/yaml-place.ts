// A place in an API object as lines of YAML with an arrow. Pure.
import { isMap, isPair, isSeq, LineCounter, parseDocument, stringify, type Node as YamlNode } from "yaml";
import type { KubeObject } from "#kube";
import type { YamlPlace } from "./types.ts";

const AROUND = 3;

/** `spec.ingress[0].ports[1]` as keys. */
function keysOf(path: string): (string | number)[] {
  return [...path.matchAll(/\["([^"]*)"\]|\[(\d+)\]|([^.[\]]+)/g)].map(
    ([, quoted, index, name]) => quoted ?? (index === undefined ? (name ?? "") : Number(index)),
  );
}

/** What a person would write: without what the server adds. */
export function objectYaml(object: KubeObject): string {
  const { apiVersion, kind, metadata = {}, ...rest } = object;
  const { name, namespace, labels, annotations } = metadata;
  const { ["kubectl.kubernetes.io/last-applied-configuration"]: _, ...kept } = annotations ?? {};
  const own = {
    name,
    ...(namespace !== undefined && { namespace }),
    ...(labels !== undefined && { labels }),
    ...(Object.keys(kept).length > 0 && { annotations: kept }),
  };
  const { status, ...parts } = rest as { status?: unknown };
  void status;
  return stringify({ apiVersion, kind, metadata: own, ...parts });
}

/** Where the path is not there, the nearest place above it that is. */
export function yamlPlace(object: KubeObject, path: string): YamlPlace {
  const text = objectYaml(object);
  const line = lineOf(text, keysOf(path));
  const all = text.trimEnd().split("\n");
  const first = Math.max(1, line - AROUND);
  const lines = all.slice(first - 1, line + AROUND).map((content, i) => ({ number: first + i, text: content, at: first + i === line }));
  const { name = "", namespace } = object.metadata ?? {};
  return { object: `${object.kind ?? ""} ${namespace === undefined ? name : `${namespace}/${name}`}`, path, line, lines };
}

function lineOf(text: string, keys: readonly (string | number)[]): number {
  const counter = new LineCounter();
  let node: unknown = parseDocument(text, { lineCounter: counter }).contents;
  let offset = 0;
  for (const key of keys) {
    const found = childOf(node, key);
    if (found === undefined) break;
    offset = found.offset;
    node = found.node;
  }
  return counter.linePos(offset).line;
}

function childOf(node: unknown, key: string | number): { readonly node: unknown; readonly offset: number } | undefined {
  if (isSeq(node) && typeof key === "number") {
    const item = node.items[key] as YamlNode | undefined;
    return item === undefined ? undefined : { node: item, offset: item.range?.[0] ?? 0 };
  }
  if (!isMap(node)) return undefined;
  const pair = node.items.find((one) => isPair(one) && String(one.key) === String(key));
  const at = pair?.key as YamlNode | undefined;
  return pair === undefined ? undefined : { node: pair.value, offset: at?.range?.[0] ?? 0 };
}
