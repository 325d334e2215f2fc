// Every kubectl that is installed, unmodified, against the program itself. No nodes: what needs running pods is elsewhere.
import assert from "node:assert/strict";
import { execFile, execFileSync, spawn } from "node:child_process";
import { mkdirSync, readdirSync, realpathSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { call, makeKeys, startTestProcess, type TestProcess } from "./testing.ts";

interface Result {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function findKubectls(): string[] {
  try {
    const found = execFileSync("/bin/sh", ["-c", "command -v kubectl"], { encoding: "utf8" }).trim();
    const directory = dirname(realpathSync(found));
    const names = readdirSync(directory).filter((name) => /^kubectl(\.1\.\d+)?$/.test(name));
    return names.sort().map((name) => join(directory, name));
  } catch {
    return [];
  }
}

const kubectls = findKubectls();
const skip = kubectls.length === 0 ? "no kubectl is installed" : false;

let server: TestProcess;
before(async () => {
  if (skip === false) server = await startTestProcess(await makeKeys());
});
after(async () => {
  if (skip === false) await server.close();
});

/** Runs one kubectl, with caches of its own, in a namespace of its own. */
class Kubectl {
  readonly #binary: string;
  readonly #home: string;
  readonly namespace: string;

  constructor(binary: string) {
    this.#binary = binary;
    const name = binary.slice(binary.lastIndexOf("/") + 1);
    this.namespace = `test-${name.replace("kubectl", "k").replaceAll(".", "-")}`;
    this.#home = join(server.directory, `home-${name}`);
    mkdirSync(this.#home, { recursive: true });
  }

  file(name: string, text: string): string {
    const path = join(this.#home, name);
    writeFileSync(path, text, { mode: 0o755 });
    return path;
  }

  run(args: readonly string[], input?: string, env: Record<string, string> = {}): Promise<Result> {
    const options = { env: { ...process.env, HOME: this.#home, KUBECONFIG: server.kubeconfig, ...env }, timeout: 30_000 };
    return new Promise((resolve) => {
      const child = execFile(this.#binary, ["-n", this.namespace, ...args], options, (err, out, stderr) => {
        const code = err === null ? 0 : typeof err.code === "number" ? err.code : 1;
        resolve({ code, out, err: stderr });
      });
      child.stdin?.end(input ?? "");
    });
  }

  /** Its output; fails unless it exits with 0. */
  async ok(args: readonly string[], input?: string, env?: Record<string, string>): Promise<string> {
    const result = await this.run(args, input, env);
    assert.equal(result.code, 0, `kubectl ${args.join(" ")}: ${result.err}${result.out}`);
    return result.out;
  }

  /** What it says on stderr; fails when it succeeds. */
  async fails(args: readonly string[], input?: string): Promise<string> {
    const result = await this.run(args, input);
    assert.notEqual(result.code, 0, `kubectl ${args.join(" ")} succeeded: ${result.out}`);
    return result.err;
  }

  /** Runs until its output has `text`. */
  async until(args: readonly string[], text: RegExp, meanwhile: () => Promise<unknown>): Promise<string> {
    const child = spawn(this.#binary, ["-n", this.namespace, ...args], {
      env: { ...process.env, HOME: this.#home, KUBECONFIG: server.kubeconfig },
      stdio: ["ignore", "pipe", "inherit"],
    });
    let out = "";
    let started = false;
    try {
      for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
        out += chunk.toString("utf8");
        if (text.test(out)) return out;
        if (!started) await meanwhile();
        started = true;
      }
      return assert.fail(`kubectl ${args.join(" ")} ended without ${text}: ${out}`);
    } finally {
      child.kill("SIGKILL");
    }
  }
}

const DEPLOYMENT = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: main, image: "agnhost:1", args: [netexec], ports: [{containerPort: 8080}], env: [{name: A, value: "1"}, {name: B, value: "2"}]}
`;
const SERVICE = `apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
`;

type Case = readonly [title: string, body: (k: Kubectl) => Promise<void>];

const CASES: readonly Case[] = [
  [
    "version and api-resources",
    async (k) => {
      assert.match(await k.ok(["version", "-o", "json"]), /"gitVersion": "v1\.33\.0"/);
      const resources = await k.ok(["api-resources"]);
      for (const name of ["pods", "deployments", "endpointslices", "networkpolicies", "leases"])
        assert.match(resources, new RegExp(`^${name} `, "m"));
      assert.match(await k.ok(["api-versions"]), /^discovery\.k8s\.io\/v1$/m);
      assert.match(await k.ok(["cluster-info"]), /is running at/);
      assert.equal(await k.ok(["get", "--raw", "/readyz"]), "ok");
    },
  ],
  [
    "create of the usual kinds",
    async (k) => {
      await k.ok(["create", "namespace", k.namespace]);
      await k.ok(["create", "configmap", "settings", "--from-literal=a=1"]);
      await k.ok(["create", "secret", "generic", "hidden", "--from-literal=password=x"]);
      await k.ok(["create", "serviceaccount", "robot"]);
      await k.ok(["create", "job", "once", "--image=agnhost:1", "--", "pause"]);
      await k.ok(["create", "cronjob", "often", "--image=agnhost:1", "--schedule=* * * * *"]);
      await k.ok(["create", "service", "clusterip", "made", "--tcp=80:8080"]);
      await k.ok(["create", "service", "nodeport", "outside", "--tcp=80:8080"]);
      await k.ok(["create", "deployment", "made", "--image=agnhost:1", "--replicas=3"]);
      await k.ok(["create", "ingress", "front", "--rule=a.test/*=made:80"]);
      await k.ok(["run", "single", "--image=agnhost:1"]);
      await k.ok(["expose", "deployment", "made", "--port=90", "--name=exposed"]);
      assert.match(await k.ok(["get", "service", "made", "-o", "jsonpath={.spec.clusterIP}"]), /^10\.96\./);
      const nodePort = Number(await k.ok(["get", "service", "outside", "-o", "jsonpath={.spec.ports[0].nodePort}"]));
      assert.ok(nodePort >= 30_000 && nodePort <= 32_767);
      assert.match(
        await k.ok(["get", "namespace", k.namespace, "--show-labels"]),
        new RegExp(`kubernetes.io/metadata.name=${k.namespace}`),
      );
      assert.match(await k.ok(["create", "token", "robot"]), /^[\w-]+\.[\w-]+\.[\w-]+\s*$/);
      assert.match(await k.fails(["create", "configmap", "settings"]), /configmaps "settings" already exists/);
      assert.match(await k.ok(["create", "deployment", "dry", "--image=x", "--dry-run=server", "-o", "name"]), /deployment.apps\/dry/);
      assert.match(await k.fails(["get", "deployment", "dry"]), /not found/);
    },
  ],
  [
    "get in every output form",
    async (k) => {
      assert.match(await k.ok(["get", "deployments"]), /NAME +READY +UP-TO-DATE +AVAILABLE +AGE\nmade +0\/3 /);
      assert.match(await k.ok(["get", "deploy", "made", "-o", "wide"]), /CONTAINERS +IMAGES +SELECTOR/);
      assert.match(await k.ok(["get", "deploy", "made", "-o", "yaml"]), /^kind: Deployment$/m);
      assert.equal(JSON.parse(await k.ok(["get", "deploy", "made", "-o", "json"])).kind, "Deployment");
      assert.equal(JSON.parse(await k.ok(["get", "deploy", "-o", "json"])).items[0].kind, "Deployment");
      assert.equal(await k.ok(["get", "deploy", "-o", "name"]), "deployment.apps/made\n");
      assert.equal(await k.ok(["get", "deploy", "made", "-o", "jsonpath={.spec.replicas}"]), "3");
      assert.match(await k.ok(["get", "deploy", "-o", "custom-columns=N:.metadata.name"]), /^N\nmade\n$/);
      assert.match(await k.ok(["get", "services", "-A"]), /^default +kubernetes +ClusterIP +10\.96\.0\.1 /m);
      assert.match(await k.ok(["get", "services", "--sort-by=.metadata.name"]), /exposed[\s\S]*made[\s\S]*outside/);
      assert.match(await k.ok(["get", "all"]), /deployment.apps\/made/);
      assert.match(await k.ok(["get", "po,svc"]), /pod\/single[\s\S]*service\/made/);
      assert.match(await k.ok(["get", "secret", "hidden", "-o", "jsonpath={.data.password}"]), /^eA==$/);
    },
  ],
  [
    "selectors, watch, wait",
    async (k) => {
      assert.match(
        await k.ok(["get", "services", "-l", "app=made", "-o", "name"]),
        /^service\/exposed\nservice\/made\n$|^service\/exposed\n$|^service\/made\n/,
      );
      assert.equal(await k.ok(["get", "services", "-l", "app in (nothing)", "-o", "name"]), "");
      assert.equal(await k.ok(["get", "services", "--field-selector", "metadata.name=made", "-o", "name"]), "service/made\n");
      assert.equal(await k.ok(["get", "pods", "--field-selector", "status.phase=Pending", "-o", "name"]), "pod/single\n");
      assert.match(await k.fails(["get", "pods", "--field-selector", "spec.color=red"]), /field label not supported: spec.color/);
      const watched = await k.until(["get", "configmaps", "-w"], /later/, () => k.ok(["create", "configmap", "later"]));
      assert.match(watched, /^NAME +DATA +AGE\n/);
      assert.equal(watched.match(/NAME/g)?.length, 1);
      await k.ok(["wait", "--for=jsonpath={.data.a}=1", "configmap/settings", "--timeout=5s"]);
      const waiting = k.ok(["wait", "--for=jsonpath={.data.b}=2", "configmap/settings", "--timeout=20s"]);
      await k.ok(["patch", "configmap", "settings", "-p", '{"data":{"b":"2"}}']);
      await waiting;
      assert.match(await k.fails(["wait", "--for=condition=Available", "deployment/made", "--timeout=1s"]), /timed out/);
    },
  ],
  [
    "apply: create, no-op, update, removal of fields, diff",
    async (k) => {
      assert.match(await k.ok(["apply", "-f", "-"], DEPLOYMENT), /deployment.apps\/web created/);
      const version = (): Promise<string> =>
        k.ok(["get", "deploy", "web", "-o", "jsonpath={.metadata.resourceVersion}/{.metadata.generation}"]);
      const first = await version();
      assert.match(await k.ok(["apply", "-f", "-"], DEPLOYMENT), /deployment.apps\/web unchanged/);
      assert.equal(await version(), first);
      const changed = DEPLOYMENT.replace("replicas: 2", "replicas: 4").replace(', {name: B, value: "2"}', "");
      const diff = await k.run(["diff", "-f", "-"], changed);
      assert.equal(diff.code, 1, diff.err);
      assert.match(diff.out, /- {2}replicas: 2\n\+ {2}replicas: 4/);
      assert.match(await k.ok(["apply", "-f", "-"], changed), /deployment.apps\/web configured/);
      const env = await k.ok(["get", "deploy", "web", "-o", "jsonpath={.spec.template.spec.containers[0].env[*].name}"]);
      assert.equal(env, "A");
      assert.equal((await k.run(["diff", "-f", "-"], changed)).code, 0);
      assert.match(await version(), /\/2$/);
      await k.ok(["apply", "-f", "-"], SERVICE);
      assert.match(await k.ok(["apply", "-f", "-"], SERVICE), /service\/web unchanged/);
      assert.match(await k.ok(["apply", "-f", "-"], SERVICE.replace("port: 80", "port: 81")), /service\/web configured/);
      assert.equal(await k.ok(["get", "svc", "web", "-o", "jsonpath={.spec.ports[*].port}"]), "81");
      assert.match(await k.ok(["apply", "view-last-applied", "svc/web"]), /port: 81/);
      assert.match(await k.ok(["replace", "-f", "-"], SERVICE), /service\/web replaced/);
    },
  ],
  [
    "apply of what is wrong names the field and the value",
    async (k) => {
      const unknown = await k.fails(["apply", "-f", "-"], DEPLOYMENT.replace("replicas: 2", "replicaz: 2"));
      assert.match(unknown, /strict decoding error: unknown field "spec.replicaz"/);
      const port = await k.fails(["apply", "-f", "-"], SERVICE.replace("port: 80", "port: 70000").replace("name: web", "name: wrong"));
      assert.match(
        port,
        /The Service "wrong" is invalid: .*spec.ports\[0\].port: Invalid value: 70000: must be between 1 and 65535, inclusive/,
      );
      const type = await k.fails(["apply", "-f", "-"], DEPLOYMENT.replace("replicas: 2", "replicas: two"));
      assert.match(type, /spec.replicas/);
      assert.match(
        await k.fails(["apply", "-f", "-"], "kind: Nothing\napiVersion: v1\nmetadata: {name: x}\n"),
        /no matches for kind "Nothing" in version "v1"/,
      );
      assert.match(
        await k.ok(["apply", "--validate=false", "-f", "-"], SERVICE.replace("spec:", "extra: 1\nspec:").replace("name: web", "name: lax")),
        /created/,
      );
    },
  ],
  [
    "edit, patch, label, annotate, set, scale",
    async (k) => {
      const editor = k.file("editor.sh", '#!/bin/sh\nsed -i "s/replicas: 4/replicas: 5/" "$1"\n');
      assert.match(await k.ok(["edit", "deployment", "web"], undefined, { KUBE_EDITOR: editor }), /deployment.apps\/web edited/);
      const replicas = (): Promise<string> => k.ok(["get", "deploy", "web", "-o", "jsonpath={.spec.replicas}"]);
      assert.equal(await replicas(), "5");
      const untouched = k.file("nothing.sh", "#!/bin/sh\nexit 0\n");
      assert.match(
        (await k.run(["edit", "deployment", "web"], undefined, { KUBE_EDITOR: untouched })).err,
        /Edit cancelled, no changes made/,
      );
      await k.ok([
        "patch",
        "deploy",
        "web",
        "--type=strategic",
        "-p",
        '{"spec":{"template":{"spec":{"containers":[{"name":"main","image":"agnhost:2"}]}}}}',
      ]);
      await k.ok(["patch", "deploy", "web", "--type=merge", "-p", '{"metadata":{"annotations":{"note":"x"}}}']);
      await k.ok(["patch", "deploy", "web", "--type=json", "-p", '[{"op":"replace","path":"/spec/replicas","value":6}]']);
      assert.equal(await replicas(), "6");
      const template = await k.ok([
        "get",
        "deploy",
        "web",
        "-o",
        "jsonpath={.spec.template.spec.containers[0].image}/{.spec.template.spec.containers[0].args[0]}",
      ]);
      assert.equal(template, "agnhost:2/netexec");
      await k.ok(["label", "deploy", "web", "tier=front"]);
      assert.match(await k.fails(["label", "deploy", "web", "tier=back"]), /already has a value/);
      await k.ok(["label", "deploy", "web", "tier=back", "--overwrite"]);
      await k.ok(["label", "deploy", "web", "tier-"]);
      await k.ok(["annotate", "deploy", "web", "note-"]);
      await k.ok(["set", "image", "deployment/web", "main=agnhost:3"]);
      await k.ok(["set", "env", "deployment/web", "C=3"]);
      assert.match(await k.ok(["scale", "deployment/web", "--replicas=1"]), /scaled/);
      assert.equal(await replicas(), "1");
      assert.match(await k.fails(["scale", "deployment/web", "--replicas=2", "--current-replicas=7"]), /Expected replicas to be 7, was 1/);
    },
  ],
  [
    "server-side apply",
    async (k) => {
      const config = DEPLOYMENT.replaceAll("name: web", "name: applied");
      assert.match(await k.ok(["apply", "--server-side", "-f", "-"], config), /deployment.apps\/applied serverside-applied/);
      await k.ok(["apply", "--server-side", "-f", "-"], config);
      await k.ok(["scale", "deployment/applied", "--replicas=7"]);
      const other = config.replace("replicas: 2", "replicas: 3");
      const conflict = await k.fails(["apply", "--server-side", "-f", "-"], other);
      assert.match(conflict, /Apply failed with 1 conflict: conflict with "kubectl[^"]*" with subresource "scale"/);
      await k.ok(["apply", "--server-side", "--force-conflicts", "-f", "-"], other);
      assert.equal(await k.ok(["get", "deploy", "applied", "-o", "jsonpath={.spec.replicas}"]), "3");
      assert.match(await k.ok(["get", "deploy", "applied", "-o", "yaml", "--show-managed-fields"]), /manager: kubectl\n/);
      await k.ok(["delete", "deploy", "applied"]);
    },
  ],
  ["rollout status, history and undo", rollout],
  [
    "describe and events",
    async (k) => {
      assert.match(await k.ok(["describe", "service", "web"]), /Endpoints:|IP Families: +IPv4/);
      assert.match(await k.ok(["describe", "deployment", "web"]), /StrategyType: +RollingUpdate/);
      assert.match(await k.ok(["describe", "pod", "single"]), /Service Account: +default/);
      const node = `{"kind":"Node","apiVersion":"v1","metadata":{"name":"node-${k.namespace}"},"status":{"addresses":[{"type":"InternalIP","address":"172.18.0.11"}],"capacity":{"cpu":"2"}}}`;
      await k.ok(["create", "-f", "-"], node);
      assert.match(await k.ok(["describe", "node", `node-${k.namespace}`]), /InternalIP: +172\.18\.0\.11/);
      await k.ok(["cordon", `node-${k.namespace}`]);
      assert.match(await k.ok(["get", "nodes"]), new RegExp(`node-${k.namespace} +\\S*SchedulingDisabled`));
      await k.ok(["taint", "nodes", `node-${k.namespace}`, "a=b:NoSchedule"]);
      const uid = await k.ok(["get", "pod", "single", "-o", "jsonpath={.metadata.uid}"]);
      await k.ok(["create", "-f", "-"], event(k.namespace, uid));
      assert.match(await k.ok(["events"]), /Noticed +Pod\/single +a thing happened/);
      assert.match(await k.ok(["get", "events"]), /Noticed +pod\/single +a thing happened/);
      assert.match(await k.ok(["describe", "pod", "single"]), /Noticed .*a thing happened/);
    },
  ],
  [
    "explain",
    async (k) => {
      const all = await k.ok(["explain", "pod.spec", "--recursive"]);
      assert.match(all, /containers\s+<\[\](Object|Container)>/);
      assert.match(all, /terminationGracePeriodSeconds\s+<integer>/);
      assert.match(await k.ok(["explain", "deployment.spec.replicas"]), /FIELD: +replicas|replicas/);
      assert.match(await k.ok(["explain", "service"]), /KIND: +Service/);
    },
  ],
  [
    "authorization questions",
    async (k) => {
      assert.match(await k.ok(["auth", "can-i", "delete", "pods"]), /^yes/);
      assert.match(await k.ok(["auth", "can-i", "--list"]), /\*\.\*/);
      const who = await k.run(["auth", "whoami", "-o", "json"]);
      // Older than 1.28: whoami asks for versions of the API that had not settled.
      if (who.code === 0) assert.match(who.out, /"username": "admin"/);
    },
  ],
  [
    "what is not there, and delete",
    async (k) => {
      assert.match(await k.fails(["get", "foos"]), /the server doesn't have a resource type "foos"/);
      assert.match(await k.fails(["get", "pod", "missing"]), /pods "missing" not found/);
      assert.match(await k.fails(["delete", "pod", "missing"]), /pods "missing" not found/);
      await k.ok(["delete", "pod", "missing", "--ignore-not-found"]);
      assert.match(await k.ok(["delete", "configmap", "settings"]), /configmap "settings" deleted/);
      assert.match(await k.ok(["delete", "deploy/web", "svc/web", "--cascade=background"]), /deleted/);
      await k.ok(["delete", "pod", "single", "--now"]);
      await k.ok(["delete", "secrets", "--all"]);
      await k.ok(["delete", "services", "-l", "app=made"]);
      assert.equal(await k.ok(["get", "secrets", "-o", "name"]), "");
      assert.match(
        await k.fails(["delete", "namespace", "default"]),
        /namespaces "default" is forbidden: this namespace may not be deleted/,
      );
      assert.match(await k.ok(["delete", "namespace", k.namespace, "--wait=false"]), /deleted/);
      assert.match(await k.ok(["get", "namespace", k.namespace]), /Terminating/);
      assert.match(await k.fails(["create", "configmap", "late"]), /because it is being terminated/);
      assert.match(await k.fails(["create", "configmap", "x", "-n", "nowhere"]), /namespaces "nowhere" not found/);
    },
  ],
];

/** The ReplicaSets of two revisions by hand, as the Deployment controller makes them. */
async function rollout(k: Kubectl): Promise<void> {
  const uid = await k.ok(["get", "deploy", "web", "-o", "jsonpath={.metadata.uid}"]);
  const replicaSet = (revision: number, image: string): string =>
    JSON.stringify({
      apiVersion: "apps/v1",
      kind: "ReplicaSet",
      metadata: {
        name: `web-${revision}`,
        labels: { app: "web" },
        annotations: { "deployment.kubernetes.io/revision": String(revision), "kubernetes.io/change-cause": `change ${revision}` },
        ownerReferences: [{ apiVersion: "apps/v1", kind: "Deployment", name: "web", uid, controller: true, blockOwnerDeletion: true }],
      },
      spec: {
        replicas: 0,
        selector: { matchLabels: { app: "web", "pod-template-hash": String(revision) } },
        template: {
          metadata: { labels: { app: "web", "pod-template-hash": String(revision) } },
          spec: { containers: [{ name: "main", image }] },
        },
      },
    });
  await k.ok(["create", "-f", "-"], replicaSet(1, "agnhost:old"));
  await k.ok(["create", "-f", "-"], replicaSet(2, "agnhost:3"));
  await k.ok(["annotate", "deploy", "web", "deployment.kubernetes.io/revision=2"]);
  assert.match(await k.ok(["rollout", "history", "deployment/web"]), /1 +change 1\n2 +change 2/);
  await k.ok(["rollout", "undo", "deployment/web"]);
  assert.equal(await k.ok(["get", "deploy", "web", "-o", "jsonpath={.spec.template.spec.containers[0].image}"]), "agnhost:old");
  await k.ok(["rollout", "restart", "deployment/web"]);
  const generation = Number(await k.ok(["get", "deploy", "web", "-o", "jsonpath={.metadata.generation}"]));
  const done = { observedGeneration: generation, replicas: 1, updatedReplicas: 1, readyReplicas: 1, availableReplicas: 1 };
  const status = k.ok(["rollout", "status", "deployment/web", "--timeout=20s"]);
  const path = `/apis/apps/v1/namespaces/${k.namespace}/deployments/web/status`;
  const headers = { "content-type": "application/merge-patch+json" };
  assert.equal((await call(server, "PATCH", path, { raw: JSON.stringify({ status: done }), headers })).status, 200);
  assert.match(await status, /successfully rolled out/);
}

function event(namespace: string, uid: string): string {
  const now = new Date().toISOString().slice(0, 19);
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Event",
    metadata: { name: "single.1" },
    involvedObject: { apiVersion: "v1", kind: "Pod", name: "single", namespace, uid },
    reason: "Noticed",
    message: "a thing happened",
    type: "Normal",
    firstTimestamp: `${now}Z`,
    lastTimestamp: `${now}Z`,
    count: 1,
    source: { component: "test" },
  });
}

if (skip !== false) test("kubectl", { skip }, () => {});
for (const binary of kubectls) {
  describe(binary.slice(binary.lastIndexOf("/") + 1), () => {
    let k: Kubectl;
    before(() => {
      k = new Kubectl(binary);
    });
    for (const [title, body] of CASES) test(title, () => body(k));
  });
}
