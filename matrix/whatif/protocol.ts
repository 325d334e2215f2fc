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
  readonly timeoutMs?: number;
}
