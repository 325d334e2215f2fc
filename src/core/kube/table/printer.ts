// What a printer is: the columns of a kind and the cells of one object. The columns, their types and the wording of the cells are
// those of Kubernetes `pkg/printers/internalversion/printers.go`, since people and scripts read them; the descriptions are ours.
import { humanAge } from "../duration.ts";
import type { KubeObject, Resource } from "../types.ts";

export type Cell = string | number | boolean | null;

export interface TableColumn {
  readonly name: string;
  readonly type: "string" | "integer" | "boolean" | "date";
  readonly format: string;
  readonly description: string;
  /** 0: always shown; 1: with `-o wide`. */
  readonly priority: number;
}

export interface RowCondition {
  readonly type: "Completed";
  readonly status: "True";
  readonly reason: string;
  readonly message: string;
}

export interface Printer<T extends KubeObject = KubeObject> {
  readonly columns: readonly TableColumn[];
  /** `now` in milliseconds since the epoch. */
  cells(object: T, now: number): Cell[];
  conditions?(object: T): RowCondition[];
}

export type PrinterEntry = readonly [kind: string, printer: Printer];

export function kindKey(resource: Pick<Resource, "group" | "kind">): string {
  return `${resource.group}/${resource.kind}`;
}

export function printerFor<T extends KubeObject>(resource: Resource<T>, printer: Printer<T>): PrinterEntry {
  return [kindKey(resource), printer];
}

export function column(name: string, description: string, type: TableColumn["type"] = "string"): TableColumn {
  return { name, type, format: "", description, priority: 0 };
}

/** A column for `-o wide`. */
export function wide(name: string, description: string): TableColumn {
  return { name, type: "string", format: "", description, priority: 1 };
}

export const NAME: TableColumn = {
  name: "Name",
  type: "string",
  format: "name",
  description: "The object's name, unique among its kind in its namespace.",
  priority: 0,
};
export const AGE: TableColumn = column("Age", "Time since the object was created.");
export const CONTAINERS: TableColumn = wide("Containers", "Names of the containers in the pod template.");
export const IMAGES: TableColumn = wide("Images", "Images of the containers in the pod template.");
export const SELECTOR: TableColumn = wide("Selector", "Labels by which the pods that belong to it are found.");

export function nameOf(object: KubeObject): string {
  return object.metadata?.name ?? "";
}

export function ageOf(object: KubeObject, now: number): string {
  return humanAge(object.metadata?.creationTimestamp, now);
}

/** `a=1,b=2` sorted by key, or `<none>`. */
export function formatLabels(labels: Readonly<Record<string, string>> | undefined): string {
  const pairs = Object.entries(labels ?? {}).map(([key, value]) => `${key}=${value}`);
  return orNone(pairs.sort().join(","));
}

export function orNone(text: string | undefined): string {
  return text === undefined || text === "" ? "<none>" : text;
}

/** The first `max` of `items`, and how many more there are. */
export function someOf(items: readonly string[], max: number): string {
  const shown = items.slice(0, max).join(",");
  return items.length > max ? `${shown} + ${items.length - max} more...` : shown;
}

interface Template {
  readonly spec?: { readonly containers?: readonly { readonly name: string; readonly image?: string }[] };
}

/** The cells of CONTAINERS and IMAGES. */
export function containersAndImages(template: Template | undefined): [string, string] {
  const containers = template?.spec?.containers ?? [];
  return [containers.map((c) => c.name).join(","), containers.map((c) => c.image ?? "").join(",")];
}
