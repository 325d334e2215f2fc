// kill -9 of the API server loses no acknowledged write: parallel writers, SIGKILL in the middle, the same store again.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { call, dig, makeKeys, startTestProcess, type TestProcess } from "./testing.ts";

const PATH = "/api/v1/namespaces/default/configmaps";
const WRITERS = 8;
const KILL_AFTER_WRITES = 150;

let server: TestProcess;
before(async () => {
  server = await startTestProcess(await makeKeys());
});
after(() => server.close());

for (const round of [1, 2, 3]) {
  test(`kill -9 while ${WRITERS} clients write, round ${round}`, async () => {
    const acknowledged = new Map<string, string | undefined>();
    let writes = 0;
    const enough = Promise.withResolvers<void>();
    const writer = async (id: number): Promise<void> => {
      for (let i = 0; ; i++) {
        // Create, change, and remove every third.
        const name = `r${round}-w${id}-${i}`;
        try {
          const created = await call(server, "POST", PATH, { body: { metadata: { name }, data: { v: "1" } } });
          acknowledged.set(name, String(created.at("metadata.resourceVersion")));
          const headers = { "content-type": "application/merge-patch+json" };
          const changed = await call(server, "PATCH", `${PATH}/${name}`, { raw: '{"data":{"v":"2"}}', headers });
          acknowledged.set(name, String(changed.at("metadata.resourceVersion")));
          writes += 2;
          if (i % 3 === 0) {
            const gone = await call(server, "DELETE", `${PATH}/${name}`);
            if (gone.status === 200) acknowledged.set(name, undefined);
          }
        } catch {
          return;
        }
        if (writes >= KILL_AFTER_WRITES) enough.resolve();
      }
    };
    const writers = Array.from({ length: WRITERS }, (_, id) => writer(id));
    await enough.promise;
    const restarted = server.killAndRestart();
    await Promise.all(writers);
    server = await restarted;

    const list = await call(server, "GET", PATH);
    const items = new Map((list.at("items") as unknown[]).map((item) => [String(dig(item, "metadata.name")), item]));
    let last = 0;
    for (const [name, version] of acknowledged) {
      const item = items.get(name);
      if (version === undefined) {
        assert.equal(item, undefined, `${name} was deleted and is back`);
        continue;
      }
      last = Math.max(last, Number(version));
      // What was under way when the server died may have happened or not; what was acknowledged before it has.
      if (item === undefined) assert.ok(isUnfinished(name, acknowledged), `${name} was acknowledged at ${version} and is lost`);
      else assert.ok(Number(dig(item, "metadata.resourceVersion")) >= Number(version), name);
    }
    assert.ok(Number(list.at("metadata.resourceVersion")) >= last);
  });
}

/** Of each writer only its last name can have had a write under way. */
function isUnfinished(name: string, all: ReadonlyMap<string, unknown>): boolean {
  const dash = name.lastIndexOf("-");
  return !all.has(`${name.slice(0, dash)}-${Number(name.slice(dash + 1)) + 1}`);
}
