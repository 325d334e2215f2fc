// Writes src/core/kube/schema/data.ts: the fields of the API's types, from the models of @kubernetes/client-node (which are made
// from the API's OpenAPI document) and from kubernetes-types (which tells quantities from strings, and a type's package).
// Run: node scripts/schema.ts
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { RESOURCES } from "#kube";

interface Attribute {
  readonly baseName: string;
  readonly type: string;
  readonly format: string;
}

const root: string = new URL("..", import.meta.url).pathname;
const models: string = `${root}node_modules/@kubernetes/client-node/dist/gen/models/`;
const types: string = `${root}node_modules/kubernetes-types/`;

/** What clients send and the API serves no collection of, by package; `CoreV1` and the like is client-node's way out of a clash. */
const SENT: readonly (readonly [string, readonly string[]])[] = [
  ["core.v1", ["V1Binding", "V1ComponentStatus"]],
  ["autoscaling.v1", ["V1Scale"]],
  ["policy.v1", ["V1Eviction"]],
  ["authentication.v1", ["V1TokenReview", "AuthenticationV1TokenRequest", "V1SelfSubjectReview"]],
  ["authorization.v1", ["V1SelfSubjectAccessReview", "V1SelfSubjectRulesReview", "V1SubjectAccessReview", "V1LocalSubjectAccessReview"]],
  ["meta.v1", ["V1DeleteOptions", "V1Status", "V1LabelSelector", "V1APIGroupList", "V1APIResourceList", "V1APIVersions", "V1WatchEvent"]],
];

/** Types that client-node has no class for. */
const EXTRA: readonly string[] = [
  "PartialObjectMetadata apiVersion:s kind:s metadata:ObjectMeta",
  "PartialObjectMetadataList apiVersion:s items!:[PartialObjectMetadata kind:s metadata:ListMeta",
];

/** Lists of numbers carry no format; these hold 64 bit ones (kubernetes/api types.go). */
const INT64_LISTS: ReadonlySet<string> = new Set(["supplementalGroups"]);

/** Quantities in types that kubernetes-types is too old to have (kubernetes/api types.go). */
const NEWER_QUANTITIES: ReadonlySet<string> = new Set([
  "ContainerStatus.allocatedResources",
  "PersistentVolumeClaimStatus.allocatedResources",
  "PodSpec.overhead",
  "PodStatus.allocatedResources",
]);

interface OldType {
  readonly pkg: string;
  readonly quantities: ReadonlySet<string>;
}

/** kubernetes-types by class name: where the type is at home, and which of its fields are quantities. */
function readOldTypes(): Map<string, OldType[]> {
  const result = new Map<string, OldType[]>();
  for (const folder of readdirSync(types, { withFileTypes: true })) {
    if (!folder.isDirectory()) continue;
    for (const file of readdirSync(types + folder.name).filter((name) => name === "v1.d.ts")) {
      const pkg = `${folder.name}.${file.slice(0, -".d.ts".length)}`;
      for (const match of readFileSync(`${types}${folder.name}/${file}`, "utf8").matchAll(/^export interface (\w+) \{\n(.*?)^\}/gms)) {
        const [, name = "", body = ""] = match;
        const quantities = [...body.matchAll(/^ {4}(?:readonly )?(\w+)\??: (?:\{\s+\[name: string\]: )?Quantity;/gm)].map(
          (m) => m[1] ?? "",
        );
        result.set(name, [...(result.get(name) ?? []), { pkg, quantities: new Set(quantities) }]);
      }
    }
  }
  return result;
}

const oldTypes: Map<string, OldType[]> = readOldTypes();

function shortName(className: string): string {
  return className.replace(/^[A-Z][a-z]+(?=V1)/, "").replace(/^V1/, "");
}

/** A type that the old listing lacks is at home where it is first used. */
function packageOf(className: string, user: string): string {
  const clash = /^([A-Z][a-z]+)V1/.exec(className)?.[1];
  if (clash !== undefined) return `${clash.toLowerCase()}.v1`;
  const homes = (oldTypes.get(shortName(className)) ?? []).map((type) => type.pkg);
  if (homes.includes(user)) return user;
  for (const home of ["core.v1", "meta.v1"]) if (homes.includes(home)) return home;
  return homes[0] ?? user;
}

async function readModel(className: string): Promise<{ attributes: readonly Attribute[]; required: ReadonlySet<string> }> {
  const module: Record<string, { getAttributeTypeMap(): readonly Attribute[] }> = await import(`${models}${className}.js`);
  const attributes = module[className]?.getAttributeTypeMap() ?? [];
  const text = readFileSync(`${models}${className}.d.ts`, "utf8");
  const required = new Set([...text.matchAll(/^ {4}'(\w+)': /gm)].map((match) => match[1] ?? ""));
  return { attributes, required };
}

class Writer {
  readonly lines: Map<string, Map<string, string>> = new Map();

  async add(className: string, pkg: string): Promise<string> {
    const home = packageOf(className, pkg);
    const name = shortName(className);
    const ofPackage = this.lines.get(home) ?? new Map<string, string>();
    this.lines.set(home, ofPackage);
    if (!ofPackage.has(name)) {
      ofPackage.set(name, "");
      const { attributes, required } = await readModel(className);
      const fields: string[] = [];
      for (const attribute of attributes) {
        const mark = required.has(attribute.baseName) ? "!" : "";
        fields.push(`${attribute.baseName}${mark}:${await this.code(attribute, name, home)}`);
      }
      ofPackage.set(name, [name, ...fields].join(" "));
    }
    return home === pkg ? name : `${home.split(".")[0]}.${name}`;
  }

  async code(attribute: Attribute, owner: string, pkg: string): Promise<string> {
    const list = /^Array<(.*)>$/.exec(attribute.type)?.[1];
    if (list !== undefined) return `[${await this.code({ ...attribute, type: list }, owner, pkg)}`;
    const map = /^\{ \[key: string\]: (.*); \}$/.exec(attribute.type)?.[1];
    if (map !== undefined) return `{${await this.code({ ...attribute, type: map }, owner, pkg)}`;
    const field = attribute.baseName;
    switch (attribute.type) {
      case "string": {
        if (NEWER_QUANTITIES.has(`${owner}.${field}`)) return "q";
        if (oldTypes.get(owner)?.some((type) => type.pkg === pkg && type.quantities.has(field))) return "q";
        return attribute.format === "byte" ? "y" : "s";
      }
      case "number":
        if (attribute.format === "double") return "n";
        return attribute.format === "int64" || INT64_LISTS.has(field) ? "l" : "i";
      case "boolean":
        return "b";
      case "Date":
        return "t";
      case "V1MicroTime":
        return "u";
      case "IntOrString":
        return "x";
      case "any":
        return "a";
      default:
        return await this.add(attribute.type, pkg);
    }
  }
}

const writer: Writer = new Writer();
const clashes: ReadonlySet<string> = new Set(["CoreV1Event", "EventsV1Event"]);
for (const resource of RESOURCES) {
  const pkg = `${resource.group === "" ? "core" : resource.group.split(".")[0]}.${resource.version}`;
  const clash = `${pkg.charAt(0).toUpperCase()}${pkg.slice(1, pkg.indexOf("."))}V1${resource.kind}`;
  const className = clashes.has(clash) ? clash : `V1${resource.kind}`;
  await writer.add(className, pkg);
  await writer.add(`${className}List`, pkg);
}
for (const [pkg, names] of SENT) for (const name of names) await writer.add(name, pkg);
const meta: Map<string, string> | undefined = writer.lines.get("meta.v1");
for (const line of EXTRA) meta?.set(line.slice(0, line.indexOf(" ")), line);

const parts: string[] = [...writer.lines.keys()].sort().map((pkg) => {
  const lines = [...(writer.lines.get(pkg)?.values() ?? [])].sort();
  return `  "${pkg}": \`\n${lines.join("\n")}\n\`,\n`;
});
writeFileSync(
  `${root}src/core/kube/schema/data.ts`,
  `// Generated by scripts/schema.ts: do not edit. The fields of the API's types (release-1.36 of the OpenAPI document, a superset of 1.33).
// A line is a type: its name, then \`field:type\`, with \`!\` after the names of required fields. Types: s string, b boolean, i int32,
// l int64, n number, t time, u microTime, x intOrString, q quantity, y bytes, a any, [T list of T, {T map of T, a Name of the same
// package, or package.Name.
export const DATA: Readonly<Record<string, string>> = {
${parts.join("")}};
`,
);
for (const [pkg, lines] of writer.lines) console.log(pkg, lines.size);
