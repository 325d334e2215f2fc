// Prometheus' text format, version 0.0.4. A few lines; prom-client and its like would cost every agent a megabyte.

export interface Histogram {
  /** Upper bounds, the last one infinite. */
  readonly bounds: readonly number[];
  readonly counts: number[];
  sum: number;
  count: number;
}

export type Labels = Readonly<Record<string, string>>;
export type Sample = readonly [labels: Labels, value: number];

export interface Metric {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly samples: readonly Sample[];
  readonly histograms?: readonly (readonly [labels: Labels, value: Histogram])[];
}

export const EXPOSITION_TYPE = "text/plain; version=0.0.4; charset=utf-8";

export function metric(name: string, help: string, type: Metric["type"], samples: readonly Sample[]): Metric {
  return { name, help, type, samples };
}

export function formatMetrics(metrics: readonly Metric[]): string {
  return metrics.map(formatMetric).join("");
}

function formatMetric({ name, help, type, samples, histograms = [] }: Metric): string {
  const lines = samples.map(([labels, value]) => line(name, labels, value));
  return [
    `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`,
    ...lines,
    ...histograms.map(([labels, h]) => formatHistogram(name, labels, h)),
  ].join("");
}

/** Buckets are cumulative: each one holds those below it. */
function formatHistogram(name: string, labels: Labels, { bounds, counts, sum, count }: Histogram): string {
  let below = 0;
  const buckets = bounds.map((bound, i) => {
    below += counts[i] ?? 0;
    return line(`${name}_bucket`, { ...labels, le: bound === Number.POSITIVE_INFINITY ? "+Inf" : String(bound) }, below);
  });
  return [...buckets, line(`${name}_sum`, labels, sum), line(`${name}_count`, labels, count)].join("");
}

function line(name: string, labels: Labels, value: number): string {
  const pairs = Object.entries(labels).map(([label, text]) => `${label}="${text.replace(/[\\"\n]/g, escaped)}"`);
  return `${name}${pairs.length === 0 ? "" : `{${pairs.join(",")}}`} ${value}\n`;
}

function escaped(char: string): string {
  return char === "\n" ? "\\n" : `\\${char}`;
}
