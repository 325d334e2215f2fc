/** One packet to send and wait for an answer to. */
export interface Probe {
  readonly from: string;
  readonly to: string;
  readonly protocol: "tcp" | "udp";
  readonly port: number;
}

export interface Order {
  readonly serve?: { readonly addresses: readonly string[]; readonly tcp: readonly number[]; readonly udp: readonly number[] };
  readonly ask?: readonly Probe[];
  /** Packets that surely are answered: where one of them is not, silence says nothing, and all is asked again with more time. */
  readonly controls?: readonly Probe[];
  readonly timeoutMs?: number;
}
