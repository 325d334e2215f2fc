// How long an answer takes on a big cluster, and how much memory, for changes that touch little, much and everything.
// usage: npm run bench what-if -- [--pods 5000] [--policies 1000] [--namespaces 100] [--json]
import { parseArgs } from "node:util";
import type { KubeObject } from "#kube";
import { applyChanges, formatAnswer, NO_OBJECTS, type Objects, whatIf } from "#whatif";
import { bigCluster } from "./cluster.ts";

const { values } = parseArgs({
  options: {
    pods: { type: "string", default: "5000" },
    policies: { type: "string", default: "1000" },
    namespaces: { type: "string", default: "100" },
    json: { type: "boolean", default: false },
  },
});

const size = { pods: Number(values.pods), policies: Number(values.policies), namespaces: Number(values.namespaces) };

interface Change {
  readonly name: string;
  readonly objects: readonly KubeObject[];
}

const netpol = (name: string, namespace: string, spec: object): KubeObject =>
  ({ apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", metadata: { name, namespace }, spec }) as KubeObject;
const closed = { podSelector: {}, policyTypes: ["Ingress", "Egress"] };

const CHANGES: readonly Change[] = [
  {
    name: "one policy",
    objects: [
      netpol("new", "ns-1", {
        podSelector: { matchLabels: { app: "db" } },
        ingress: [{ from: [{ podSelector: { matchLabels: { app: "report" } } }], ports: [{ port: 8080 }] }],
      }),
    ],
  },
  {
    name: "a label of a namespace",
    objects: [{ apiVersion: "v1", kind: "Namespace", metadata: { name: "ns-5", labels: { team: "t7" } } }],
  },
  { name: "one namespace closed", objects: [netpol("new", "ns-1", closed)] },
  { name: "every namespace closed", objects: Array.from({ length: size.namespaces }, (_, i) => netpol("new", `ns-${i}`, closed)) },
];

/** Nothing that was understood before helps: as a command finds it. */
function fresh(objects: Objects): Objects {
  return { ...NO_OBJECTS, ...structuredClone(objects) };
}

const live = bigCluster(size);
const results = CHANGES.map(({ name, objects }) => {
  const before = fresh(live);
  const placed = objects.map((object) => ({ object, where: "change" }));
  globalThis.gc?.();
  const startedAt = performance.now();
  const cpu = process.cpuUsage();
  const { objects: after, notes } = applyChanges(before, { objects: placed, isDelete: false, namespace: "default" });
  const answer = whatIf({ before, after, notes });
  const text = formatAnswer(answer, false);
  const ms = performance.now() - startedAt;
  const { user, system } = process.cpuUsage(cpu);
  return {
    name,
    ms,
    cpuMs: (user + system) / 1000,
    atoms: answer.worlds.partition.atoms.length,
    lines: answer.lines.length,
    services: answer.services.length,
    textBytes: text.length,
  };
});
const rssBytes = process.resourceUsage().maxRSS * 1024;
if (values.json) console.log(JSON.stringify({ size, results, rssBytes }, null, 2));
else {
  console.log(`${size.policies} policies, ${size.pods} pods in ${size.namespaces} namespaces, both families`);
  for (const { name, ms, cpuMs, atoms, lines, services } of results) {
    console.log(
      `${name.padEnd(26)} ${(ms / 1000).toFixed(2).padStart(6)} s (${(cpuMs / 1000).toFixed(2)} s of CPU)   ${atoms} classes, ${lines} differences, ${services} through Services`,
    );
  }
  console.log(`memory at most (RSS)       ${Math.round(rssBytes / 2 ** 20)} MiB`);
}
