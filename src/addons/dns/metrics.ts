// Counters under CoreDNS's names, so that dashboards and alerts written for it work. Counting happens for every query: label sets are
// written once and looked up by number.
import { dnsRcodeName, dnsTypeName } from "#wire";

/** Buckets of CoreDNS (`plugin/pkg/…/dnstest`, `plugin/metrics/vars`): seconds from 0.25 ms to 8 s, bytes from 0 to 64,000. */
const SECONDS: readonly number[] = Array.from({ length: 16 }, (_, i) => 0.00025 * 2 ** i);
const BYTES: readonly number[] = [0, 100, 200, 300, 400, 511, 1023, 2047, 4095, 8291, 16e3, 32e3, 48e3, 64e3];
const PROGRAMMING_SECONDS: readonly number[] = Array.from({ length: 20 }, (_, i) => 0.001 * 2 ** i);

/** Types that are counted by name; every other one is "other", so that nobody can make endless label sets. */
const COUNTED_TYPES: ReadonlySet<number> = new Set([1, 2, 5, 6, 12, 13, 15, 16, 28, 33, 35, 41, 43, 46, 47, 48, 64, 65, 252, 255]);

type Values = Map<string, number>;

class Histogram {
  readonly #bounds: readonly number[];
  readonly #counts: number[];
  #sum = 0;
  #total = 0;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = bounds.map(() => 0);
  }

  observe(value: number): void {
    this.#sum += value;
    this.#total++;
    for (let i = 0; i < this.#bounds.length; i++) {
      if (value > (this.#bounds[i] ?? 0)) continue;
      this.#counts[i] = (this.#counts[i] ?? 0) + 1;
      return;
    }
  }

  lines(name: string, labels: string): string[] {
    const comma = labels === "" ? "" : ",";
    let cumulative = 0;
    const buckets = this.#bounds.map((bound, i) => {
      cumulative += this.#counts[i] ?? 0;
      return `${name}_bucket{${labels}${comma}le="${bound}"} ${cumulative}`;
    });
    return [
      ...buckets,
      `${name}_bucket{${labels}${comma}le="+Inf"} ${this.#total}`,
      `${name}_sum{${labels}} ${this.#sum}`,
      `${name}_count{${labels}} ${this.#total}`,
    ];
  }
}

/** Where a reply came from, as CoreDNS names the plugin. */
export type Source = "kubernetes" | "forward" | "cache" | "";

export interface Counted {
  readonly tcp: boolean;
  readonly family: 4 | 6;
  readonly type: number;
  readonly queryBytes: number;
  readonly replyBytes: number;
  readonly rcode: number;
  readonly source: Source;
  readonly seconds: number;
}

export class DnsMetrics {
  readonly #server: string;
  readonly #requests: Values = new Map();
  readonly #responses: Values = new Map();
  readonly #cacheHits: Values = new Map();
  readonly #labels = new Map<number, string>();
  readonly #responseLabels = new Map<string, string>();
  readonly #upstream = new Map<string, Histogram>();
  readonly #duration = new Histogram(SECONDS);
  readonly #programming = new Histogram(PROGRAMMING_SECONDS);
  readonly #requestSize = { udp: new Histogram(BYTES), tcp: new Histogram(BYTES) };
  readonly #responseSize = { udp: new Histogram(BYTES), tcp: new Histogram(BYTES) };
  #cacheMisses = 0;
  #rejects = 0;
  #panics = 0;
  #dnssecOk = 0;

  constructor(listenPort: number) {
    this.#server = `server="dns://:${listenPort}"`;
  }

  query(counted: Counted): void {
    add(this.#requests, this.#requestLabels(counted));
    const proto = counted.tcp ? "tcp" : "udp";
    this.#requestSize[proto].observe(counted.queryBytes);
    this.#responseSize[proto].observe(counted.replyBytes);
    this.#duration.observe(counted.seconds);
    const key = `${counted.rcode}${counted.source}`;
    let labels = this.#responseLabels.get(key);
    if (labels === undefined) {
      labels = `${this.#server},zone=".",view="",rcode="${dnsRcodeName(counted.rcode)}",plugin="${counted.source}"`;
      this.#responseLabels.set(key, labels);
    }
    add(this.#responses, labels);
  }

  dnssecOk(): void {
    this.#dnssecOk++;
  }

  cacheHit(denial: boolean): void {
    add(this.#cacheHits, `${this.#server},type="${denial ? "denial" : "success"}",zones=".",view=""`);
  }

  cacheMiss(): void {
    this.#cacheMisses++;
  }

  /** A question was refused because too many were under way. */
  rejected(): void {
    this.#rejects++;
  }

  /** A fault of ours while a query was answered. */
  fault(): void {
    this.#panics++;
  }

  upstreamReply(to: string, rcode: number, seconds: number): void {
    const labels = `proxy_name="forward",to="${to}",rcode="${dnsRcodeName(rcode)}"`;
    let histogram = this.#upstream.get(labels);
    if (histogram === undefined) {
      histogram = new Histogram(SECONDS);
      this.#upstream.set(labels, histogram);
    }
    histogram.observe(seconds);
  }

  /** Seconds from a change of a headless Service's pods to the answers that show it. */
  programmed(seconds: number): void {
    this.#programming.observe(seconds);
  }

  #requestLabels({ tcp, family, type }: Counted): string {
    const counted = COUNTED_TYPES.has(type) ? type : 0;
    const key = (counted << 2) | (tcp ? 2 : 0) | (family === 6 ? 1 : 0);
    let labels = this.#labels.get(key);
    if (labels === undefined) {
      const name = counted === 0 ? "other" : dnsTypeName(counted);
      labels = `${this.#server},zone=".",view="",proto="${tcp ? "tcp" : "udp"}",family="${family === 6 ? 2 : 1}",type="${name}"`;
      this.#labels.set(key, labels);
    }
    return labels;
  }

  /** The text that Prometheus reads. `cache`: how many entries of each kind there are now. */
  format(cache: { readonly success: number; readonly denial: number }): string {
    return [...this.#formatServer(), ...this.#formatCache(cache), ...this.#formatOthers(), ""].join("\n");
  }

  #formatServer(): string[] {
    const zone = `${this.#server},zone=".",view=""`;
    const sizes = (sizesOf: { udp: Histogram; tcp: Histogram }): Lines => {
      return (name) => [...sizesOf.udp.lines(name, `${zone},proto="udp"`), ...sizesOf.tcp.lines(name, `${zone},proto="tcp"`)];
    };
    return [
      ...family("coredns_dns_requests_total", "counter", "DNS queries received.", counters(this.#requests)),
      ...family("coredns_dns_responses_total", "counter", "DNS replies sent.", counters(this.#responses)),
      ...family("coredns_dns_do_requests_total", "counter", "Queries that asked for DNSSEC records.", value(zone, this.#dnssecOk)),
      ...family("coredns_dns_request_duration_seconds", "histogram", "Time until the reply.", (name) => this.#duration.lines(name, zone)),
      ...family("coredns_dns_request_size_bytes", "histogram", "Size of queries.", sizes(this.#requestSize)),
      ...family("coredns_dns_response_size_bytes", "histogram", "Size of replies.", sizes(this.#responseSize)),
    ];
  }

  #formatCache(cache: { readonly success: number; readonly denial: number }): string[] {
    const labels = (type: string): string => `${this.#server},type="${type}",zones=".",view=""`;
    const entries = new Map(Object.entries(cache).map(([type, count]) => [labels(type), count]));
    const misses = value(`${this.#server},zones=".",view=""`, this.#cacheMisses);
    return [
      ...family("coredns_cache_entries", "gauge", "Answers of upstreams that are kept.", counters(entries)),
      ...family("coredns_cache_hits_total", "counter", "Queries answered from the cache.", counters(this.#cacheHits)),
      ...family("coredns_cache_misses_total", "counter", "Queries that had to be forwarded.", misses),
    ];
  }

  #formatOthers(): string[] {
    const upstream: Lines = (name) => [...this.#upstream].flatMap(([labels, histogram]) => histogram.lines(name, labels));
    const programming: Lines = (name) => this.#programming.lines(name, 'service_kind="headless_with_selector"');
    const rejects = value("", this.#rejects);
    return [
      ...family("coredns_forward_max_concurrent_rejects_total", "counter", "Queries refused because too many were under way.", rejects),
      ...family("coredns_proxy_request_duration_seconds", "histogram", "Time until an upstream's reply.", upstream),
      ...family(
        "coredns_kubernetes_dns_programming_duration_seconds",
        "histogram",
        "Time from a change of a Service's pods to answers that show it.",
        programming,
      ),
      ...family("coredns_panics_total", "counter", "Faults while answering.", value("", this.#panics)),
    ];
  }
}

/** The lines of a metric, given its name. */
type Lines = (name: string) => string[];

function add(values: Values, labels: string): void {
  values.set(labels, (values.get(labels) ?? 0) + 1);
}

function value(labels: string, count: number): Lines {
  return (name) => [labels === "" ? `${name} ${count}` : `${name}{${labels}} ${count}`];
}

function counters(values: ReadonlyMap<string, number>): Lines {
  return (name) => [...values].map(([labels, count]) => `${name}{${labels}} ${count}`);
}

function family(name: string, type: "counter" | "gauge" | "histogram", description: string, lines: Lines): string[] {
  return [`# HELP ${name} ${description}`, `# TYPE ${name} ${type}`, ...lines(name)];
}
