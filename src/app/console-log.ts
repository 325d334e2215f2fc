// Log lines for a person who watches: `12:00:01 warn  cannot listen, trying again  at=0.0.0.0:10256`.
import { styleText } from "node:util";
import type { LogFields, Logger } from "#base";

type Level = "debug" | "info" | "warn" | "error";

const LEVELS: readonly Level[] = ["debug", "info", "warn", "error"];
const STYLES: Readonly<Record<Level, Parameters<typeof styleText>[0]>> = { debug: "dim", info: "green", warn: "yellow", error: "red" };

/** On stderr, coloured where that is a terminal. Level by FAIRLEAD_LOG_LEVEL, "info" unless set. */
export function createConsoleLogger(stream: NodeJS.WriteStream = process.stderr): Logger {
  const least = Math.max(0, LEVELS.indexOf((process.env["FAIRLEAD_LOG_LEVEL"] ?? "info") as Level));
  const say = (level: Level, message: string, fields: LogFields): void => {
    if (LEVELS.indexOf(level) < least) return;
    const time = styleText("dim", new Date().toTimeString().slice(0, 8), { stream });
    stream.write(`${time} ${styleText(STYLES[level], level.padEnd(5), { stream })} ${message}${formatFields(fields)}\n`);
  };
  const wrap = (own: LogFields): Logger => ({
    debug: (message, fields) => say("debug", message, { ...own, ...fields }),
    info: (message, fields) => say("info", message, { ...own, ...fields }),
    warn: (message, fields) => say("warn", message, { ...own, ...fields }),
    error: (message, fields) => say("error", message, { ...own, ...fields }),
    child: (fields) => wrap({ ...own, ...fields }),
  });
  return wrap({});
}

function formatFields(fields: LogFields): string {
  const pairs = Object.entries(fields).filter(([, value]) => value !== undefined);
  return pairs.length === 0 ? "" : `  ${pairs.map(([name, value]) => `${name}=${formatValue(value)}`).join(" ")}`;
}

function formatValue(value: unknown): string {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return /^[^\s"]+$/.test(text) ? text : JSON.stringify(text);
}
