// What makes no sense, or is far too much: a clear word, and a kernel that has the whole of what is meant, or what it had.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { NetworkPolicyIngressRule } from "kubernetes-types/networking/v1";
import { type LogFields, type Logger, silentLogger } from "#base";
import { formatAddr } from "#ip";
import { NETWORK_POLICIES } from "#kube";
import { policy } from "../../core/netpol/testing/objects.ts";
import { TABLE } from "./layout.ts";
import { Neighbourhood, reaches } from "./testing/neighbourhood.ts";
import type { Policies } from "./types.ts";

const PORT = 8080;
/** Of which none is like another, and none has a set: the kernel would find it by walking a list. */
const MANY = Number(process.env["FAIRLEAD_POLICY_RULES"] ?? 10_000);

describe("bad input", () => {
  let hood: Neighbourhood;
  let policies: Policies;
  let server: ReturnType<Neighbourhood["pod"]>;
  let friend: ReturnType<Neighbourhood["pod"]>;
  const said: { readonly message: string; readonly fields: LogFields | undefined }[] = [];
  const tell = (message: string, fields?: LogFields): void => void said.push({ message, fields });
  const logger: Logger = { ...silentLogger, warn: tell, error: tell, child: () => logger };

  before(async () => {
    hood = new Neighbourhood();
    [server, friend] = [hood.pod("x/server"), hood.pod("x/friend")];
    policies = hood.start([], { logger });
    for (const { local } of [server, friend]) await policies.add(local);
    await policies.ready;
  });

  after(() => {
    policies.stop();
    hood.world.close();
  });

  const addr = (pod: typeof server): string => formatAddr(pod.addrs[0] ?? assert.fail());
  const onServer = { podSelector: { matchLabels: { pod: "server" } } };
  const answered = async (expected: boolean): Promise<void> =>
    assert.deepEqual(await reaches(friend, addr(server), PORT, expected), { tcp: expected, udp: expected });

  test("a policy of which nothing makes sense isolates, allows nothing, and is told of with the place of each part", async () => {
    await hood.apply(policies, "x/p", {
      ...onServer,
      ingress: [
        { from: [{ ipBlock: { cidr: "300.0.0.0/8" } }, {}, { ipBlock: { cidr: "10.0.0.0/8", except: ["ten"] } }] },
        { ports: [{ protocol: "ICMP" }, { port: 9, endPort: 1 }] },
        { from: [{ podSelector: { matchExpressions: [{ key: "a", operator: "Like" }] } }] },
      ],
    });
    await answered(false);
    const fields = said.find(({ message }) => message.includes("allows nothing"))?.fields ?? assert.fail("nothing was said");
    assert.equal(fields["policy"], "x/p");
    const problems = fields["problems"];
    assert.ok(Array.isArray(problems) && problems.length === 6, JSON.stringify(problems));
    for (const problem of problems) assert.match(String(problem), /^spec\.ingress\[[012]\]: (peer|port) [012] /);
    await hood.remove(policies, "x/p");
    await answered(true);
  });

  test("a policy for a pod that is gone, and one of a namespace that is not there, write nothing", async () => {
    const syncs = policies.metrics.syncs_total;
    for (const key of ["x/gone", "nowhere/p"]) {
      const { metadata, spec, ...type } = policy(key, {
        podSelector: { matchLabels: { pod: "gone" } },
        ingress: [{ from: [{ podSelector: {} }] }],
      });
      hood.client.seed(NETWORK_POLICIES, {
        ...type,
        metadata: { name: metadata.name, namespace: metadata.namespace ?? "" },
        ...(spec && { spec }),
      });
    }
    // A third one, which does write, comes after both.
    await hood.apply(policies, "x/p", onServer);
    assert.equal(policies.metrics.syncs_total, syncs + 1);
    await answered(false);
    for (const key of ["x/gone", "nowhere/p"]) {
      const [namespace = "", name = ""] = key.split("/");
      await hood.client.delete(NETWORK_POLICIES, { namespace, name });
    }
    await hood.remove(policies, "x/p");
  });

  test(`a policy of ${MANY} rules is programmed as one; its last rule counts, and it goes again as a whole`, async (t) => {
    const rules = Array.from(
      { length: MANY },
      (_, i): NetworkPolicyIngressRule => ({
        from: [{ ipBlock: { cidr: `192.${i >> 8}.${i & 255}.0/24` } }],
        ports: [{ port: 1000 + i }],
      }),
    );
    said.length = 0;
    const startedAt = performance.now();
    await hood.apply(policies, "x/p", { ...onServer, ingress: rules });
    t.diagnostic(`${MANY} rules written after ${Math.round(performance.now() - startedAt)} ms`);
    await answered(false);
    const changedAt = performance.now();
    await hood.client.delete(NETWORK_POLICIES, { namespace: "x", name: "p" });
    await hood.apply(policies, "x/p", {
      ...onServer,
      ingress: [...rules, { from: [{ podSelector: { matchLabels: { pod: "friend" } } }] }],
    });
    t.diagnostic(`and once more, with another one, after ${Math.round(performance.now() - changedAt)} ms`);
    await answered(true);
    await hood.remove(policies, "x/p");
    await answered(true);
    assert.deepEqual(said, []);
    const { nft } = hood.world.options;
    assert.ok((nft.list(TABLE)?.sets.length ?? MANY) < MANY / 3);
  });
});
