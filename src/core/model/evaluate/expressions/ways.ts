/** Equal chances, as the choices of a walk take them. */
export function evenly(count: number): readonly number[] {
  const known = KNOWN.get(count);
  if (known !== undefined) return known;
  const ways = Array.from({ length: count }, () => 1);
  KNOWN.set(count, ways);
  return ways;
}

const KNOWN: Map<number, readonly number[]> = new Map();
