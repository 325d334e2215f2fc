/** Errors, time, logging, backoff and the work queue: what every other room stands on. */
export { type BackoffOptions, backoffMs } from "./backoff.ts";
export { type Clock, formatMicroTime, formatTime, systemClock } from "./clock.ts";
export { type ErrorInit, errorCode, errorMessage, FairleadError, InputError } from "./errors.ts";
export { EXPOSITION_TYPE, formatMetrics, type Histogram, type Labels, type Metric, metric, type Sample } from "./exposition.ts";
export { type LogFields, type Logger, silentLogger } from "./logger.ts";
export { WorkQueue, type WorkQueueOptions } from "./work-queue.ts";
