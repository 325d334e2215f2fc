// The shortest selector of one label that chooses exactly these pods of a namespace. Pure.
import type { Labels } from "#kube";

/** Labels that say which run of a workload a pod is of, and nothing to a person. */
const NOISE: ReadonlySet<string> = new Set([
  "pod-template-hash",
  "controller-revision-hash",
  "statefulset.kubernetes.io/pod-name",
  "apps.kubernetes.io/pod-index",
  "pod-template-generation",
]);

/** More values in a list are longer than names. */
const MOST_VALUES = 5;

/** Of one label: how many pods have it, and with which values. */
interface Use {
  count: number;
  readonly values: Set<string>;
}

const UNUSED: Use = { count: 0, values: new Set() };

/** In the words of kubectl's `-l`; undefined where no single label tells them from the others. */
export function labelText(pods: readonly Labels[], others: readonly Labels[]): string | undefined {
  const [inside, outside] = [usesOf(pods), usesOf(others)];
  const equal: string[] = [];
  const more: string[] = [];
  for (const key of new Set([...inside.keys(), ...outside.keys()])) {
    const [own, rest] = [inside.get(key) ?? UNUSED, outside.get(key) ?? UNUSED];
    const [allHave, allOthersHave] = [own.count === pods.length, rest.count === others.length];
    if (!own.values.isDisjointFrom(rest.values)) continue;
    if (allHave && own.values.size === 1) equal.push(`${key}=${listOf(own)}`);
    if (allHave && own.values.size > 1 && own.values.size <= MOST_VALUES) more.push(`${key} in (${listOf(own)})`);
    if (allHave && rest.count === 0) more.push(key);
    // As the API has it, pods without the label are chosen too.
    if (allOthersHave && rest.values.size === 1) more.push(`${key}!=${listOf(rest)}`);
    if (allOthersHave && rest.values.size > 1 && rest.values.size <= MOST_VALUES) more.push(`${key} notin (${listOf(rest)})`);
    if (allOthersHave && own.count === 0) more.push(`!${key}`);
  }
  return shortest(equal) ?? shortest(more);
}

function usesOf(pods: readonly Labels[]): Map<string, Use> {
  const uses = new Map<string, Use>();
  for (const labels of pods) {
    for (const [key, value] of Object.entries(labels)) {
      if (NOISE.has(key)) continue;
      const use = uses.get(key) ?? { count: 0, values: new Set() };
      use.count++;
      use.values.add(value);
      uses.set(key, use);
    }
  }
  return uses;
}

function listOf({ values }: Use): string {
  return [...values].sort().join(", ");
}

function shortest(texts: readonly string[]): string | undefined {
  return texts.toSorted((a, b) => a.length - b.length)[0];
}
