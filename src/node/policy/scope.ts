// Where to look for the pods that a selector may select, and for the selectors that may select a pod, without looking at all of them. Pure.
import { type Labels, matchLabels, type ParsedLabelSelector } from "#kube";
import type { Cluster, PeerSelector, PodFacts } from "#netpol";

/** A group of pods that every pod knows it is in. */
export type Scope = string;

export const EVERY_POD: Scope = "every pod";

/** A scope that has all pods that the selector, in a policy of `namespace`, can select. */
export function scopeOf({ pods, namespaces }: PeerSelector, namespace: string): Scope {
  const label = oneLabel(pods);
  if (namespaces === undefined) return label === undefined ? `in ${namespace}` : `in ${namespace} ${label}`;
  if (label !== undefined) return `with ${label}`;
  const of = oneLabel(namespaces);
  return of === undefined ? EVERY_POD : `under ${of}`;
}

export function scopesOf({ namespace, labels }: PodFacts, namespaceLabels: Labels | undefined): Scope[] {
  const own = Object.entries(labels).map(([key, value]) => `${key}=${value}`);
  return [
    EVERY_POD,
    `in ${namespace}`,
    ...own.flatMap((label) => [`in ${namespace} ${label}`, `with ${label}`]),
    ...Object.entries(namespaceLabels ?? {}).map(([key, value]) => `under ${key}=${value}`),
  ];
}

/** A label that all that is selected must have; a key has no "=". */
function oneLabel(selector: ParsedLabelSelector): string | undefined {
  const found = selector.find(
    ({ operator, values }) => (operator === "=" || operator === "==" || operator === "in") && values.length === 1,
  );
  return found && `${found.key}=${found.values[0]}`;
}

/** The pods of the cluster by namespace and by label. */
export class PodIndex {
  readonly #found = new Map<Scope, Set<PodFacts>>();

  replace(before: PodFacts | undefined, after: PodFacts | undefined): void {
    for (const scope of before === undefined ? [] : indexed(before)) {
      const own = this.#found.get(scope);
      if (before !== undefined) own?.delete(before);
      if (own?.size === 0) this.#found.delete(scope);
    }
    if (after === undefined) return;
    for (const scope of indexed(after)) this.#found.set(scope, (this.#found.get(scope) ?? new Set<PodFacts>()).add(after));
  }

  inNamespace(namespace: string): ReadonlySet<PodFacts> {
    return this.#found.get(`in ${namespace}`) ?? NOBODY;
  }

  /** At least those that the selector selects. */
  candidates({ pods, namespaces }: PeerSelector, namespace: string, all: Cluster["namespaces"]): Iterable<PodFacts> {
    const label = oneLabel(pods);
    const labelled = label === undefined ? undefined : (this.#found.get(`with ${label}`) ?? NOBODY);
    if (namespaces === undefined) {
      const own = this.inNamespace(namespace);
      return labelled === undefined || own.size < labelled.size ? own : labelled;
    }
    if (labelled !== undefined) return labelled;
    return [...all].flatMap(([name, labels]) => (matchLabels(namespaces, labels) ? [...this.inNamespace(name)] : []));
  }
}

const NOBODY: ReadonlySet<PodFacts> = new Set();

function indexed({ namespace, labels }: PodFacts): Scope[] {
  return [`in ${namespace}`, ...Object.entries(labels).map(([key, value]) => `with ${key}=${value}`)];
}
