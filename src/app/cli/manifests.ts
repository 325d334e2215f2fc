// Reads manifests: files, directories, standard input; YAML with several documents, JSON, Lists.
import { readdirSync, readFileSync, statSync } from "node:fs";
import { parseAllDocuments } from "yaml";
import { errorMessage, FairleadError, InputError } from "#base";
import type { KubeObject } from "#kube";

/** An object, and where it stands: `file.yaml, document 2`. */
export interface PlacedObject {
  readonly object: KubeObject;
  readonly where: string;
}

export function readManifests(paths: readonly string[]): KubeObject[] {
  return readPlacedManifests(paths).map(({ object }) => object);
}

export function readPlacedManifests(paths: readonly string[]): PlacedObject[] {
  return paths.flatMap((path) => filesOf(path)).flatMap((file) => parseManifest(readText(file), file));
}

function filesOf(path: string): string[] {
  if (path === "-") return [path];
  try {
    if (!statSync(path).isDirectory()) return [path];
  } catch (err) {
    throw new InputError("--filename", `cannot read "${path}": ${errorMessage(err)}`);
  }
  const files = readdirSync(path).filter((name) => /\.(ya?ml|json)$/.test(name));
  if (files.length === 0) throw new InputError("--filename", `"${path}" has no .yaml, .yml or .json files`);
  return files.sort().map((name) => `${path}/${name}`);
}

function readText(file: string): string {
  return readFileSync(file === "-" ? 0 : file, "utf8");
}

function parseManifest(text: string, file: string): PlacedObject[] {
  const documents = parseAllDocuments(text);
  return documents.flatMap((document, i) => {
    const [problem] = document.errors;
    if (problem !== undefined) throw new FairleadError(`${file}: ${problem.message}`, { code: "BadInput" });
    const value: unknown = document.toJS();
    return value === null ? [] : objectsOf(value, `${file}, document ${i + 1}`);
  });
}

function objectsOf(value: unknown, where: string): PlacedObject[] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new InputError(where, "is not an object");
  const object = value as KubeObject & { items?: unknown };
  if (object.kind?.endsWith("List") === true && Array.isArray(object.items)) return object.items.flatMap((item) => objectsOf(item, where));
  if (typeof object.apiVersion !== "string") throw new InputError(where, "apiVersion is missing");
  if (typeof object.kind !== "string") throw new InputError(where, "kind is missing");
  if (typeof object.metadata?.name !== "string") throw new InputError(where, "metadata.name is missing");
  return [{ object, where }];
}
