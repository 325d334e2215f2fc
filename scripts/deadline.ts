// Loaded before a test file (`node --import`): ends its process after FAIRLEAD_TEST_FILE_MS. A condition that is awaited for ever
// outlives its test's timeout, and the runner would wait for the process without end. (`--test-force-exit` loses results of others.)
// What a file must not leave behind it removes when its process exits ("exit" of `process`): that happens here too, and when the runner
// itself is ended.
const ms: number = Number(process.env["FAIRLEAD_TEST_FILE_MS"]);
// The runner itself loads this too; only a test file's process has a context.
if (process.env["NODE_TEST_CONTEXT"] !== undefined) {
  // Not only once: a second one, from the runner, would end it in the middle of that.
  process.on("SIGTERM", () => process.exit(143));
  if (ms > 0) {
    setTimeout(() => {
      console.error(`${process.argv[1] ?? "this file"} still runs after ${ms / 1000} s, long after its tests timed out; it is ended`);
      process.exit(1);
    }, ms).unref();
  }
}
