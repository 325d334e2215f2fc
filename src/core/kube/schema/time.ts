// metav1.Time and MicroTime: RFC 3339 in, UTC with whole seconds or exactly six digits out (apimachinery time.go, micro_time.go).
import { InputError } from "#base";

const RFC3339 = /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)$/;

interface Instant {
  /** Since 1970, whole. */
  readonly seconds: number;
  readonly micros: number;
}

function parseInstant(text: string): Instant {
  const match = RFC3339.exec(text);
  // The fraction is read by hand: Date knows milliseconds only.
  const ms = match === null ? Number.NaN : Date.parse(text.replace(/\.\d+/, ""));
  if (Number.isNaN(ms)) throw new InputError("time", `parsing time ${JSON.stringify(text)} as "2006-01-02T15:04:05Z07:00" failed`);
  return { seconds: ms / 1000, micros: Number((match?.[7] ?? "").slice(0, 6).padEnd(6, "0")) };
}

/** `2024-05-01T12:00:00Z`; throws InputError when `text` is not RFC 3339. */
export function canonicalTime(text: string): string {
  return formatSeconds(parseInstant(text).seconds);
}

/** `2024-05-01T12:00:00.000000Z`. */
export function canonicalMicroTime(text: string): string {
  const { seconds, micros } = parseInstant(text);
  return formatSecondsMicros(seconds, micros);
}

export function formatSeconds(seconds: number): string {
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}Z`;
}

export function formatSecondsMicros(seconds: number, micros: number): string {
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}.${String(micros).padStart(6, "0")}Z`;
}
