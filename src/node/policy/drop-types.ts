import type { Direction } from "#netpol";

/** One end of a connection. */
export interface DropEnd {
  readonly addr: string;
  readonly port?: number;
  /** `namespace/name`, where the address is a pod's. */
  readonly pod?: string;
}

/** A packet that policies refused, as the connection that it belongs to. */
export interface Drop {
  /** RFC 3339. */
  readonly time: string;
  readonly node: string;
  /** Whose policies refused: those of the pod that answers (ingress) or asks (egress); absent: a pod that the API does not know. */
  readonly direction?: Direction;
  readonly from: DropEnd;
  readonly to: DropEnd;
  readonly protocol: string;
  readonly family: 4 | 6;
  /** `namespace/name` of the policies that isolate the pod, of which none allows it. */
  readonly policies: readonly string[];
}

/** So many more were refused, and not told of one by one. */
export interface DropsLeftOut {
  readonly time: string;
  readonly node: string;
  readonly leftOut: number;
  readonly policies?: readonly string[];
}
