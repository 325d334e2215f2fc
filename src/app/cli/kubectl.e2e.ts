// Every kubectl of this machine, unmodified, against a cluster with nodes: what needs pods that run.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { after, before, suite, test } from "node:test";
import { type CommandResult, command, startTestCluster, type TestCluster } from "../testing/cluster.ts";
import { findKubectls, type Kubectl } from "../testing/kubectl.ts";

const kubectls = findKubectls();
const skip = kubectls.length === 0 ? "there is no kubectl on this machine" : false;

suite("kubectl with pods", { skip }, () => {
  let cluster: TestCluster;
  before(async () => {
    cluster = await startTestCluster({ name: "kubectl", flags: ["--nodes", "2"] });
  });
  after(async () => {
    await cluster[Symbol.asyncDispose]();
  });

  for (const [i, kubectl] of kubectls.entries()) {
    suite(kubectl.version, () => {
      const namespace = `kubectl-${i}`;
      const run = (...args: string[]): Promise<CommandResult> => command(kubectl.path, ["--namespace", namespace, ...args], cluster.env);
      async function ok(...args: string[]): Promise<string> {
        const result = await run(...args);
        assert.equal(result.code, 0, `kubectl ${args.join(" ")}: ${result.stderr}${result.stdout}`);
        return result.stdout;
      }

      before(async () => {
        await ok("create", "namespace", namespace);
        await ok(
          "create",
          "deployment",
          "web",
          "--image=agnhost",
          "--replicas=2",
          "--port=8080",
          "--",
          "/agnhost",
          "netexec",
          "--http-port=8080",
        );
      });
      after(async () => {
        await ok("delete", "namespace", namespace, "--wait=true", "--timeout=60s");
      });

      test("rollout status, and pods are listed with node and address", async () => {
        assert.match(await ok("rollout", "status", "deployment/web", "--timeout=60s"), /successfully rolled out/);
        const wide = await ok("get", "pods", "-o", "wide");
        assert.match(wide, /^NAME\s+READY\s+STATUS\s+RESTARTS\s+AGE\s+IP\s+NODE/);
        assert.equal(wide.match(/1\/1\s+Running\s+0\s+\S+\s+10\.244\.\d+\.\d+\s+node-[12]/g)?.length, 2, wide);
      });

      test("logs and logs -f", async () => {
        await ok(
          "run",
          "counter",
          "--image=toolbox",
          "--restart=Never",
          "--",
          "sh",
          "-c",
          "for i in 1 2 3 4 5; do echo line $i; sleep 0.2; done",
        );
        assert.equal(await followLogs(kubectl, namespace, cluster), "line 1\nline 2\nline 3\nline 4\nline 5\n");
        assert.equal(await ok("logs", "counter", "--tail=1"), "line 5\n");
        assert.match(await ok("logs", "counter", "--timestamps", "--tail=1"), /^\d{4}-\d\d-\d\dT[\d:.]+Z line 5\n$/);
      });

      test("exec: output, input, exit code", async () => {
        assert.match(
          await ok("exec", "deploy/web", "--", "cat", "/etc/resolv.conf"),
          /nameserver 10\.96\.0\.10[\s\S]*search kubectl-\d+\.svc\.cluster\.local/,
        );
        const failing = await run("exec", "deploy/web", "--", "sh", "-c", "echo oops >&2; exit 7");
        assert.equal(failing.code, 7);
        assert.match(failing.stderr, /oops/);
        assert.equal(
          await withInput(kubectl, cluster, ["-n", namespace, "exec", "-i", "deploy/web", "--", "cat"], "from here\n"),
          "from here\n",
        );
      });

      test("debug: a container beside those of a pod, one with input, and a pod of a node", async () => {
        const pod = (await ok("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[0].metadata.name}")).trim();
        const look = "cat /proc/[0-9]*/cmdline | tr '\\0' ' '; exit 3";
        await ok("debug", pod, "--image=toolbox", "--target=agnhost", "--container=look", "--", "sh", "-c", look);
        const ended = "jsonpath={.status.ephemeralContainerStatuses[0].state.terminated.exitCode}";
        await ok("wait", `pod/${pod}`, `--for=${ended}=3`, "--timeout=30s");
        assert.match(await ok("logs", pod, "-c", "look"), /\/agnhost netexec --http-port=8080/);
        const typed = ["-n", namespace, "debug", "-i", pod, "--image=toolbox", "--container=talk", "--", "sh", "-c", "read x; echo got $x"];
        assert.match(await withInput(kubectl, cluster, typed, "a line\n"), /got a line\n/);
        assert.equal(await ok("get", "pod", pod, "-o", "jsonpath={.status.containerStatuses[0].restartCount}"), "0");
        await ok("debug", "node/node-1", "--image=toolbox", "--", "sh", "-c", "ls -d /host/etc; cat /proc/sys/kernel/hostname");
        const debuggers = "jsonpath={.items[?(@.spec.hostPID==true)].metadata.name}";
        const debuggerPod = (await ok("get", "pods", "-o", debuggers)).trim();
        await ok("wait", `pod/${debuggerPod}`, "--for=jsonpath={.status.phase}=Succeeded", "--timeout=30s");
        assert.equal(await ok("logs", debuggerPod), "/host/etc\nnode-1\n");
      });

      test("scale, rollout restart, history and undo", async () => {
        await ok("scale", "deployment/web", "--replicas=3");
        await ok("rollout", "status", "deployment/web", "--timeout=60s");
        await ok("rollout", "restart", "deployment/web");
        await ok("rollout", "status", "deployment/web", "--timeout=60s");
        await ok("set", "env", "deployment/web", "COLOUR=blue");
        await ok("rollout", "status", "deployment/web", "--timeout=60s");
        assert.match(await ok("rollout", "history", "deployment/web"), /REVISION[\s\S]*3/);
        await ok("rollout", "undo", "deployment/web");
        await ok("rollout", "status", "deployment/web", "--timeout=60s");
        assert.equal(await ok("get", "deployment", "web", "-o", "jsonpath={.spec.template.spec.containers[0].env}"), "");
        await ok("wait", "deployment/web", "--for=condition=Available", "--timeout=30s");
      });

      test("expose, describe, events", async () => {
        await ok("expose", "deployment", "web", "--port=80", "--target-port=8080");
        await ok(
          "wait",
          "endpointslice",
          "-l",
          "kubernetes.io/service-name=web",
          "--for=jsonpath={.endpoints[0].conditions.ready}=true",
          "--timeout=30s",
        );
        assert.match(await ok("describe", "service", "web"), /Endpoints:\s+10\.244\.\d+\.\d+:8080/);
        assert.match(await ok("describe", "pods", "-l", "app=web"), /Node:\s+node-[12]\/172\.18\.0\.1[12][\s\S]*Events:[\s\S]*Started/);
        assert.match(await ok("describe", "node", "node-1"), /Ready\s+True[\s\S]*PodCIDRs?:[\s\S]*Non-terminated Pods/);
        assert.match(await ok("describe", "deployment", "web"), /Replicas:\s+3 desired[\s\S]*NewReplicaSet:\s+web-/);
        assert.match(await ok("events"), /Scheduled[\s\S]*pod\/web|pod\/web[\s\S]*Scheduled/i);
      });

      test("get -w sees a pod go", async () => {
        const watch = spawn(kubectl.path, ["-n", namespace, "get", "pod", "counter", "-w", "-o", "name"], {
          env: cluster.env,
          stdio: ["ignore", "pipe", "inherit"],
        });
        const seen: string[] = [];
        watch.stdout.on("data", (chunk: Buffer) => seen.push(chunk.toString()));
        await once(watch.stdout, "data");
        await ok("delete", "pod", "counter", "--grace-period=1");
        watch.kill();
        await once(watch, "exit");
        assert.match(seen.join(""), /pod\/counter/);
        assert.equal((await run("get", "pod", "counter")).code, 1);
      });
    });
  }
});

async function followLogs(kubectl: Kubectl, namespace: string, cluster: TestCluster): Promise<string> {
  await command(
    kubectl.path,
    ["-n", namespace, "wait", "pod/counter", "--for=jsonpath={.status.containerStatuses[0].started}=true", "--timeout=20s"],
    cluster.env,
  );
  const result = await command(kubectl.path, ["-n", namespace, "logs", "-f", "counter"], cluster.env);
  assert.equal(result.code, 0, result.stderr);
  return result.stdout;
}

async function withInput(kubectl: Kubectl, cluster: TestCluster, args: readonly string[], input: string): Promise<string> {
  const child = spawn(kubectl.path, args, { env: cluster.env, stdio: ["pipe", "pipe", "inherit"] });
  const out: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => out.push(chunk));
  child.stdin.end(input);
  await once(child, "close");
  return Buffer.concat(out).toString();
}
