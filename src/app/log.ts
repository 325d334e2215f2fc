import { pino } from "pino";
import type { LogFields, Logger } from "#base";

/** JSON lines on stderr: `{"level":30,"time":…,"component":"agent","msg":…}`. Level by FAIRLEAD_LOG_LEVEL, "info" unless set. */
export function createLogger(component: string): Logger {
  const destination = pino.destination({ dest: 2, sync: true });
  return wrap(pino({ base: { component }, level: process.env["FAIRLEAD_LOG_LEVEL"] ?? "info" }, destination));
}

interface PinoLike {
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
  child(fields: LogFields): PinoLike;
}

function wrap(logger: PinoLike): Logger {
  return {
    debug: (message, fields = {}) => logger.debug(fields, message),
    info: (message, fields = {}) => logger.info(fields, message),
    warn: (message, fields = {}) => logger.warn(fields, message),
    error: (message, fields = {}) => logger.error(fields, message),
    child: (fields) => wrap(logger.child(fields)),
  };
}
