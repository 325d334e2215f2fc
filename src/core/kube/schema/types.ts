/** What the API says of one field: the JSON form, and how a strategic merge patch treats it. */
export interface FieldSchema {
  readonly type:
    | "string"
    | "integer"
    | "number"
    | "boolean"
    | "array"
    | "map"
    | "object"
    | "intOrString"
    | "quantity"
    | "time"
    | "microTime"
    | "bytes"
    | "any";
  /** For "object": the name of its TypeSchema. */
  readonly ref?: string;
  /** For "array" and "map": what it holds. */
  readonly items?: FieldSchema;
  readonly required?: boolean;
  /** For "integer": "int32" or "int64". */
  readonly format?: string;
  /** For a scalar: absent is something else than "", 0 or false (a pointer in the Go types), so these are kept when they are sent. */
  readonly pointer?: boolean;
  /** Strategic merge: "merge" lists are merged by `mergeKey` (or as sets, without one); absent lists are replaced. */
  readonly patchStrategy?: "merge" | "replace" | "retainKeys" | "merge,retainKeys";
  readonly mergeKey?: string;
  /** Who may own what under server-side apply: one item ("set"), one item by its keys ("map"), the whole ("atomic"). Arrays only. */
  readonly listType?: "atomic" | "set" | "map";
  readonly listMapKeys?: readonly string[];
  /** Server-side apply treats this map or object as one value. */
  readonly atomic?: boolean;
}

/** An object type of the API, such as `io.k8s.api.core.v1.PodSpec`. */
export interface TypeSchema {
  readonly name: string;
  readonly fields: Readonly<Record<string, FieldSchema>>;
}
