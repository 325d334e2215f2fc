// Loaded before a test file (`node --import`): ends its process after FAIRLEAD_TEST_FILE_MS. A condition that is awaited for ever
// outlives its test's timeout, and the runner would wait for the process without end. (`--test-force-exit` loses results of others.)
const ms: number = Number(process.env["FAIRLEAD_TEST_FILE_MS"]);
// The runner itself loads this too; only a test file's process has a context.
if (ms > 0 && process.env["NODE_TEST_CONTEXT"] !== undefined) {
  setTimeout(() => {
    console.error(`${process.argv[1] ?? "this file"} still runs after ${ms / 1000} s, long after its tests timed out; it is ended`);
    process.exit(1);
  }, ms).unref();
}
