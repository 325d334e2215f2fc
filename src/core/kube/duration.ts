const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const YEAR = 365 * DAY;

interface Step {
  /** The step is for less than this many seconds. */
  readonly below: number;
  readonly unit: number;
  readonly name: string;
  /** The finer unit shown beside, where it is not zero. */
  readonly rest?: readonly [unit: number, name: string];
}

/** The steps of `HumanDuration` in apimachinery `util/duration/duration.go`: about two significant figures at every size. */
const STEPS: readonly Step[] = [
  { below: 2 * MINUTE, unit: 1, name: "s" },
  { below: 10 * MINUTE, unit: MINUTE, name: "m", rest: [1, "s"] },
  { below: 3 * HOUR, unit: MINUTE, name: "m" },
  { below: 8 * HOUR, unit: HOUR, name: "h", rest: [MINUTE, "m"] },
  { below: 2 * DAY, unit: HOUR, name: "h" },
  { below: 8 * DAY, unit: DAY, name: "d", rest: [HOUR, "h"] },
  { below: 2 * YEAR, unit: DAY, name: "d" },
  { below: 8 * YEAR, unit: YEAR, name: "y", rest: [DAY, "d"] },
];

/** "5m30s", "3h5m", "2d3h", "5y": as `kubectl get` shows ages. Up to a second in the future counts as now. */
export function humanDuration(ms: number): string {
  const seconds = Math.trunc(ms / 1000);
  if (seconds < -1) return "<invalid>";
  if (seconds < 0) return "0s";
  for (const { below, unit, name, rest } of STEPS) {
    if (seconds >= below) continue;
    const amount = Math.floor(seconds / unit);
    const finer = rest === undefined ? 0 : Math.floor((seconds % unit) / rest[0]);
    return finer === 0 || rest === undefined ? `${amount}${name}` : `${amount}${name}${finer}${rest[1]}`;
  }
  return `${Math.floor(seconds / YEAR)}y`;
}

/** How long ago an RFC 3339 time was; "<unknown>" where there is none. */
export function humanAge(time: string | null | undefined, now: number): string {
  const ms = time === undefined || time === null ? Number.NaN : Date.parse(time);
  return Number.isNaN(ms) ? "<unknown>" : humanDuration(now - ms);
}
