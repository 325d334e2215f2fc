// What a walk cannot know is an input: each random choice is asked for here. Either everything that can be chosen is walked, each with its
// probability, or one way, by a given source of randomness.

export interface Choices {
  /** One of `weights.length` ways, with chances in proportion to their weights. `what` names the choice, for people. */
  choose(weights: readonly number[], what: string): number;
  /** A port out of `size` from `min` on; `wanted` is the one that the packet has. Ways that differ in nothing else are not walked each. */
  port(wanted: number, min: number, size: number): number;
}

/** Uniform in [0, 1), as Math.random. */
export type Random = () => number;

export function byRandom(random: Random): Choices {
  return {
    choose(weights) {
      let rest = random() * weights.reduce((sum, weight) => sum + weight, 0);
      for (const [i, weight] of weights.entries()) {
        rest -= weight;
        if (rest < 0) return i;
      }
      return weights.length - 1;
    },
    port: (_, min, size) => min + Math.floor(random() * size),
  };
}

/** A choice that was made: the way, and its chance. */
export interface Chosen {
  readonly what: string;
  readonly way: number;
  readonly of: number;
}

export interface Branch<T> {
  readonly probability: number;
  readonly choices: readonly Chosen[];
  readonly result: T;
}

interface Fork {
  readonly what: string;
  readonly weights: readonly number[];
  way: number;
}

/** Beyond so many, what is left is not walked: the probabilities do not sum up to 1 then. */
const MAX_BRANCHES = 1 << 16;

/**
 * Everything that can happen, first way first: runs `walk` once for each combination of choices. `walk` must depend on nothing else than
 * its choices.
 */
export function allBranches<T>(walk: (choices: Choices) => T): Branch<T>[] {
  const branches: Branch<T>[] = [];
  const forks: Fork[] = [];
  do {
    let at = 0;
    const choices: Choices = {
      choose(weights, what) {
        if (weights.length === 1) return 0;
        const known = forks[at++];
        if (known !== undefined) return known.way;
        forks.push({ what, weights, way: 0 });
        return 0;
      },
      port: (wanted, min, size) => (wanted >= min && wanted < min + size ? wanted : min),
    };
    const result = walk(choices);
    branches.push({
      probability: probabilityOf(forks),
      choices: forks.map(({ what, weights, way }) => ({ what, way, of: weights.length })),
      result,
    });
  } while (branches.length < MAX_BRANCHES && advance(forks));
  return branches;
}

/** To the next combination; false after the last. */
function advance(forks: Fork[]): boolean {
  for (let last = forks.pop(); last !== undefined; last = forks.pop()) {
    if (last.way + 1 >= last.weights.length) continue;
    last.way++;
    forks.push(last);
    return true;
  }
  return false;
}

function probabilityOf(forks: readonly Fork[]): number {
  return forks.reduce((product, { weights, way }) => (product * (weights[way] ?? 0)) / weights.reduce((sum, weight) => sum + weight, 0), 1);
}
