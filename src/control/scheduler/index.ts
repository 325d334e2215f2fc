/** Which node a pod goes to. */
export { type SchedulerOptions, startScheduler } from "./schedule.ts";
