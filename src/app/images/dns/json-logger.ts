import type { LogFields, Logger } from "#base";

/** Levels as pino numbers them, so that all components' lines look alike. */
const LEVELS = { debug: 20, info: 30, warn: 40, error: 50 } as const;

/** JSON lines on stderr, as `createLogger` of src/app/log.ts writes them. Without pino, which costs a DNS pod more than its zone does. */
export function createJsonLogger(component: string): Logger {
  const wanted = process.env["FAIRLEAD_LOG_LEVEL"] ?? "info";
  const threshold = wanted in LEVELS ? LEVELS[wanted as keyof typeof LEVELS] : LEVELS.info;
  return makeLogger(threshold, { component });
}

function makeLogger(threshold: number, base: LogFields): Logger {
  const write = (level: number, message: string, fields: LogFields = {}): void => {
    if (level >= threshold) process.stderr.write(`${JSON.stringify({ level, time: Date.now(), ...base, ...fields, msg: message })}\n`);
  };
  return {
    debug: (message, fields) => write(LEVELS.debug, message, fields),
    info: (message, fields) => write(LEVELS.info, message, fields),
    warn: (message, fields) => write(LEVELS.warn, message, fields),
    error: (message, fields) => write(LEVELS.error, message, fields),
    child: (fields) => makeLogger(threshold, { ...base, ...fields }),
  };
}
