// Server-side printing: lists of objects as meta.k8s.io/v1 Tables, which is what `kubectl get` asks for and shows.
import { CLUSTER_PRINTERS } from "./table/cluster.ts";
import { EVENT_PRINTERS } from "./table/events.ts";
import { NETWORK_PRINTERS } from "./table/network.ts";
import { POD_PRINTERS } from "./table/pods.ts";
import { AGE, ageOf, type Cell, kindKey, NAME, nameOf, type Printer, type RowCondition, type TableColumn } from "./table/printer.ts";
import { WORKLOAD_PRINTERS } from "./table/workloads.ts";
import type { KubeObject, Resource } from "./types.ts";

export interface TableRow {
  readonly cells: readonly Cell[];
  readonly conditions?: readonly RowCondition[];
  readonly object?: KubeObject;
}

export interface Table {
  readonly kind: "Table";
  readonly apiVersion: "meta.k8s.io/v1";
  readonly metadata: { resourceVersion?: string; continue?: string; remainingItemCount?: number };
  readonly columnDefinitions: readonly TableColumn[];
  readonly rows: readonly TableRow[];
}

export interface TableOptions {
  /** Milliseconds since the epoch: ages are counted from here. */
  readonly now: number;
  /** What each row carries besides its cells: nothing, the object's metadata (upstream's default), or the object. */
  readonly includeObject?: "None" | "Metadata" | "Object";
  /** false for the second and later events of a watch, which leave the columns out. */
  readonly withColumns?: boolean;
  readonly resourceVersion?: string;
}

const PRINTERS: ReadonlyMap<string, Printer> = new Map([
  ...POD_PRINTERS,
  ...WORKLOAD_PRINTERS,
  ...NETWORK_PRINTERS,
  ...CLUSTER_PRINTERS,
  ...EVENT_PRINTERS,
]);

const DEFAULT_PRINTER: Printer = {
  columns: [NAME, AGE],
  cells: (object, now) => [nameOf(object), ageOf(object, now)],
};

/** The objects as a Table, with the columns that `kubectl get` shows for the kind; NAME and AGE for kinds that are not known. */
export function tableOf(resource: Pick<Resource, "group" | "kind">, objects: readonly KubeObject[], options: TableOptions): Table {
  const printer = PRINTERS.get(kindKey(resource)) ?? DEFAULT_PRINTER;
  return {
    kind: "Table",
    apiVersion: "meta.k8s.io/v1",
    metadata: options.resourceVersion === undefined ? {} : { resourceVersion: options.resourceVersion },
    columnDefinitions: options.withColumns === false ? [] : printer.columns,
    rows: objects.map((object) => rowOf(printer, object, options)),
  };
}

function rowOf(printer: Printer, object: KubeObject, options: TableOptions): TableRow {
  const cells = printer.cells(object, options.now);
  const conditions = printer.conditions?.(object) ?? [];
  const carried = carriedObject(object, options.includeObject ?? "Metadata");
  return { cells, ...(conditions.length === 0 ? {} : { conditions }), ...(carried === undefined ? {} : { object: carried }) };
}

function carriedObject(object: KubeObject, include: "None" | "Metadata" | "Object"): KubeObject | undefined {
  if (include === "None") return undefined;
  if (include === "Object") return object;
  return { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata: object.metadata ?? {} };
}
