// `fairlead check` on a whole cluster: all is well, and then each fault is told of by exactly its check.
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import type { CheckResult } from "#checks";
import { type KubeObject, NETWORK_POLICIES, PODS } from "#kube";
import { command, startTestCluster, type TestCluster } from "../testing/cluster.ts";

/** What a fault is staged with may repair itself before it is seen: then it is staged again. */
const TRIES = 5;

interface Fault {
  readonly check: number;
  /** Shell, in the namespace of node-2. */
  readonly stage: string;
  readonly undo: string;
  readonly says: RegExp;
  /** Default false: nothing is sent. */
  readonly probes?: boolean;
  readonly needs?: "nft";
}

/** POD is the address of a pod of node-1, OWN that of one of node-2, and LINK its link. */
const FAULTS: Readonly<Record<string, Fault>> = {
  "an address that another pod has": {
    check: 2,
    stage: "ip addr add POD/32 dev lo",
    undo: "ip addr del POD/32 dev lo",
    says: /pod .*, node node-2: all have the address/,
  },
  "a route to a node that is gone": {
    check: 7,
    stage: "ip route add 10.244.99.0/24 via 172.18.0.11",
    undo: "ip route del 10.244.99.0/24",
    says: /route leads where no node is: 10\.244\.99\.0\/24 via 172\.18\.0\.11 dev eth0/,
  },
  "a smaller MTU": {
    check: 10,
    stage: "ip link set LINK mtu 1300",
    undo: "ip link set LINK mtu 1450",
    says: /has MTU 1300, and 1450 is what fits/,
  },
  "an element of the policies": {
    check: 12,
    stage: "nft delete element inet fairlead-policy self4 '{ OWN . OWN }'",
    undo: "nft add element inet fairlead-policy self4 '{ OWN . OWN }'",
    says: /table inet fairlead-policy: set self4 lacks OWN \. OWN/,
    needs: "nft",
  },
  "a link that leads to no pod": {
    check: 15,
    stage: "ip link add left type veth peer name left-peer; ip link set left master cni0 up",
    undo: "ip link del left",
    says: /link left is a port of cni0, and leads to no pod/,
  },
  "the node does not forward": {
    check: 19,
    stage: "echo 0 > /proc/sys/net/ipv4/ip_forward",
    undo: "echo 1 > /proc/sys/net/ipv4/ip_forward",
    says: /net\.ipv4\.ip_forward is 0, not 1/,
  },
  "large packets are lost": {
    check: 11,
    stage:
      "nft 'add table inet theirs; add chain inet theirs c { type filter hook input priority 0; }; add rule inet theirs c iifname fairlead.vx meta length > 1400 drop'",
    undo: "nft delete table inet theirs",
    says: /echo to 10\.244\.\d\.1 of node-\d with 1450 bytes: silence/,
    probes: true,
    needs: "nft",
  },
  "DNS is cut off": {
    check: 13,
    stage:
      "nft 'add table inet theirs; add chain inet theirs c { type filter hook output priority 0; }; add rule inet theirs c udp dport 53 drop'",
    undo: "nft delete table inet theirs",
    says: /question for kubernetes\.default\.svc\.cluster\.local\. at /,
    probes: true,
    needs: "nft",
  },
  "an endpoint is cut off": {
    check: 14,
    stage:
      "nft 'add table inet theirs; add chain inet theirs c { type filter hook output priority 0; }; add rule inet theirs c tcp dport 53 drop'",
    undo: "nft delete table inet theirs",
    says: /endpoint .*:53 of Service kube-system\/kube-dns: /,
    probes: true,
    needs: "nft",
  },
};

/** Faults that the agent puts right as soon as they are made: what tells, in shell, that it has. */
const HEALED: Readonly<Record<string, { readonly stage: string; readonly isHealed: string }>> = {
  "a neighbour with another MAC": {
    stage: "ip neigh change OWN lladdr 02:00:00:00:00:09 dev cni0 nud permanent",
    isHealed: "ip neigh show OWN dev cni0 | grep -q MAC",
  },
  "a forwarding entry of the tunnel": {
    stage: "bridge fdb del 02:66:ac:12:00:0b dev fairlead.vx dst 172.18.0.11",
    isHealed: "bridge fdb show dev fairlead.vx | grep -q '02:66:ac:12:00:0b dst 172.18.0.11'",
  },
};

suite("fairlead check", () => {
  let cluster: TestCluster;
  let names: Readonly<Record<string, string>> = {};

  before(async () => {
    cluster = await startTestCluster({ name: "check", flags: ["--nodes", "2"] });
    const { items } = await cluster.client.list(PODS);
    const addrOf = (node: string): string =>
      items.find(({ spec }) => spec?.nodeName === node)?.status?.podIP ?? assert.fail(`no pod on ${node}`);
    const OWN = addrOf("node-2");
    const shell = async (text: string): Promise<string> => (await cluster.inside("node-2", "sh", "-c", text)).stdout.trim();
    const MAC = await shell(`ip neigh show ${OWN} dev cni0 | sed 's/.*lladdr \\([0-9a-f:]*\\).*/\\1/'`);
    const LINK = await shell("ip -o link show master cni0 | head -n 1 | sed 's/^[0-9]*: \\([^@:]*\\).*/\\1/'");
    names = { POD: addrOf("node-1"), OWN, MAC, LINK };
    await cluster.client.create(NETWORK_POLICIES, {
      apiVersion: "networking.k8s.io/v1",
      kind: "NetworkPolicy",
      metadata: { name: "open", namespace: "kube-system" },
      spec: { podSelector: {}, ingress: [{}] },
    } as KubeObject);
  });

  after(async () => {
    await cluster?.[Symbol.asyncDispose]();
  });

  const filled = (text: string): string => text.replaceAll(/\b(POD|OWN|MAC|LINK)\b/g, (name) => names[name] ?? name);

  async function check(...args: string[]): Promise<readonly CheckResult[]> {
    const { code, stdout, stderr } = await cluster.fairlead("check", "-o", "json", ...args);
    assert.notEqual(stdout, "", stderr);
    const { passed, checks } = JSON.parse(stdout) as { passed: boolean; checks: CheckResult[] };
    assert.equal(code, passed ? 0 : 1);
    return checks;
  }

  const failed = (checks: readonly CheckResult[]): CheckResult[] => checks.filter(({ passed }) => !passed);

  test("a healthy cluster passes all, and each has looked at something", async () => {
    const checks = await check();
    assert.deepEqual(failed(checks), []);
    assert.deepEqual(
      checks.filter(({ examined }) => examined === 0),
      [],
    );
    const text = await cluster.fairlead("check");
    assert.equal(text.code, 0);
    assert.match(text.stdout, /^19 checks passed$/m);
  });

  for (const [name, { check: number, stage, undo, says, probes = false, needs }] of Object.entries(FAULTS)) {
    test(name, async (t) => {
      if (needs === "nft" && (await command("sh", ["-c", "command -v nft"])).code !== 0) return t.skip("there is no nft on this machine");
      const shell = async (text: string): Promise<void> => {
        const { code, stderr } = await cluster.inside("node-2", "sh", "-c", filled(text));
        assert.equal(code, 0, stderr);
      };
      let found: CheckResult[] = [];
      for (let i = 0; i < TRIES && found.length === 0; i++) {
        await shell(stage);
        try {
          found = failed(await check(...(probes ? [] : ["--no-probe"])));
        } finally {
          await shell(undo);
        }
      }
      assert.deepEqual(
        found.map(({ number: own }) => own),
        [number],
        JSON.stringify(found, null, 2),
      );
      const problems = found.flatMap(({ failures }) => failures.map(({ object, problem }) => `${object}: ${problem}`));
      assert.match(problems.join("\n"), new RegExp(filled(says.source)));
    });
  }

  for (const [name, { stage, isHealed }] of Object.entries(HEALED)) {
    test(`${name} is put right, and then all is well`, async () => {
      const shell = async (text: string): Promise<number> => (await cluster.inside("node-2", "sh", "-c", filled(text))).code;
      assert.equal(await shell(stage), 0);
      while ((await shell(isHealed)) !== 0);
      assert.deepEqual(failed(await check("--no-probe")), []);
    });
  }

  test("only some, which there are, and what is none", async () => {
    assert.deepEqual(
      (await check("--only", "3,7")).map(({ number }) => number),
      [3, 7],
    );
    const list = await cluster.fairlead("check", "--list");
    assert.match(list.stdout, /^ 2 {2}addresses are unique$/m);
    const wrong = await cluster.fairlead("check", "--only", "99");
    assert.equal(wrong.code, 2);
    assert.match(wrong.stderr, /--only: "99" is no check; there are 1 to 19/);
  });
});
