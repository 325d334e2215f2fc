// What containers are told: environment, resolver, hosts, security.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Container, PodSpec, Service } from "kubernetes-types/core/v1";
import { containerConfig, sandboxConfig } from "./container-config.ts";
import { parseResolvConf, podDns } from "./dns-config.ts";
import { expand, makeEnv } from "./env.ts";
import { hostNetworkHostsFile, hostsFile } from "./hosts-file.ts";
import { hostnameOf, qosClassOf, type StoredPod } from "./pod-spec.ts";
import { serviceEnv } from "./service-env.ts";

function pod(spec: Partial<PodSpec> = {}, name = "web"): StoredPod {
  const metadata = {
    name,
    namespace: "shop",
    uid: "u1",
    resourceVersion: "1",
    creationTimestamp: "",
    labels: { app: "web", tier: "front" },
    annotations: { note: 'say "hi"' },
  };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata,
    spec: { containers: [{ name: "c" }], nodeName: "node-1", serviceAccountName: "sa", ...spec },
  };
}

const FACTS = {
  pod: pod(),
  podIps: ["10.244.0.5", "fd00::5"],
  hostIps: ["172.18.0.11", "fd00:18::11"],
  allocatable: { cpu: "2", memory: "4Gi" },
};

function env(container: Partial<Container>, serviceVariables: Readonly<Record<string, string>> = {}): Record<string, string> {
  return makeEnv(
    { name: "c", ...container },
    {
      configMap: (name) =>
        name === "cm" ? { metadata: { name, namespace: "shop" }, data: { KEY: "cm-value", "bad=name": "x" } } : undefined,
      secret: (name) =>
        name === "s" ? { metadata: { name, namespace: "shop" }, data: { PASS: Buffer.from("pw").toString("base64") } } : undefined,
      serviceEnv: serviceVariables,
      facts: FACTS,
    },
  );
}

describe("environment", () => {
  test("$(NAME) is expanded, $$ escapes it, the unknown stays", () => {
    const table: readonly [string, string][] = [
      ["$(A)", "1"],
      ["x$(A)y$(B)", "x1y2"],
      ["$$(A)", "$(A)"],
      ["$$$(A)", "$1"],
      ["$(NO)", "$(NO)"],
      ["$A $( $", "$A $( $"],
    ];
    for (const [text, wanted] of table)
      assert.equal(
        expand(text, (name) => ({ A: "1", B: "2" })[name]),
        wanted,
        text,
      );
  });

  test("values come in order and from everywhere", () => {
    const fieldRef = (fieldPath: string) => ({ valueFrom: { fieldRef: { fieldPath } } });
    const got = env(
      {
        envFrom: [
          { prefix: "P_", configMapRef: { name: "cm" } },
          { secretRef: { name: "s" } },
          { secretRef: { name: "none", optional: true } },
        ],
        env: [
          { name: "FIRST", value: "1" },
          { name: "SECOND", value: "$(FIRST)2 $(SVC_HOST) $(P_KEY)" },
          { name: "POD", ...fieldRef("metadata.name") },
          { name: "IPS", ...fieldRef("status.podIPs") },
          { name: "HOST", ...fieldRef("status.hostIP") },
          { name: "LABEL", ...fieldRef("metadata.labels['tier']") },
          { name: "SA", ...fieldRef("spec.serviceAccountName") },
          { name: "CM", valueFrom: { configMapKeyRef: { name: "cm", key: "KEY" } } },
          { name: "S", valueFrom: { secretKeyRef: { name: "s", key: "PASS" } } },
          { name: "GONE", valueFrom: { secretKeyRef: { name: "s", key: "NO", optional: true } } },
          { name: "CPU", valueFrom: { resourceFieldRef: { resource: "limits.cpu" } } },
          { name: "MEM", valueFrom: { resourceFieldRef: { resource: "requests.memory", divisor: "1Mi" } } },
        ],
        resources: { limits: { cpu: "1500m" }, requests: { memory: "100Mi" } },
      },
      { SVC_HOST: "10.96.0.9" },
    );
    assert.deepEqual(got, {
      SVC_HOST: "10.96.0.9",
      P_KEY: "cm-value",
      PASS: "pw",
      FIRST: "1",
      SECOND: "12 10.96.0.9 $(P_KEY)",
      POD: "web",
      IPS: "10.244.0.5,fd00::5",
      HOST: "172.18.0.11",
      LABEL: "front",
      SA: "sa",
      CM: "cm-value",
      S: "pw",
      CPU: "2",
      MEM: "100",
    });
  });

  test("what is missing is a CreateContainerConfigError that names it", () => {
    const table: readonly [Partial<Container>, RegExp][] = [
      [{ envFrom: [{ configMapRef: { name: "no" } }] }, /^configmap "no" not found$/],
      [{ env: [{ name: "A", valueFrom: { secretKeyRef: { name: "no", key: "K" } } }] }, /^secret "no" not found$/],
      [{ env: [{ name: "A", valueFrom: { configMapKeyRef: { name: "cm", key: "K" } } }] }, /^couldn't find key K in ConfigMap shop\/cm$/],
      [{ env: [{ name: "A", valueFrom: { fieldRef: { fieldPath: "spec.no" } } }] }, /unsupported fieldPath: spec\.no/],
    ];
    for (const [container, message] of table) assert.throws(() => env(container), { code: "CreateContainerConfigError", message });
  });

  test("services become variables; the API server's always", () => {
    const service = (name: string, namespace: string, clusterIP: string): Service => ({
      metadata: { name, namespace },
      spec: {
        clusterIP,
        ports: [
          { name: "http", port: 80 },
          { name: "dns-udp", port: 53, protocol: "UDP" },
        ],
      },
    });
    const services = [
      service("kubernetes", "default", "10.96.0.1"),
      service("my-api", "shop", "10.96.0.5"),
      service("six", "shop", "fd00::6"),
      service("none", "shop", "None"),
      service("other", "elsewhere", "10.96.0.7"),
    ];
    const got = serviceEnv({ namespace: "shop", links: true, services });
    assert.equal(got["KUBERNETES_SERVICE_HOST"], "10.96.0.1");
    assert.deepEqual(Object.fromEntries(Object.entries(got).filter(([key]) => key.startsWith("MY_API"))), {
      MY_API_SERVICE_HOST: "10.96.0.5",
      MY_API_SERVICE_PORT: "80",
      MY_API_SERVICE_PORT_HTTP: "80",
      MY_API_SERVICE_PORT_DNS_UDP: "53",
      MY_API_PORT: "tcp://10.96.0.5:80",
      MY_API_PORT_80_TCP: "tcp://10.96.0.5:80",
      MY_API_PORT_80_TCP_PROTO: "tcp",
      MY_API_PORT_80_TCP_PORT: "80",
      MY_API_PORT_80_TCP_ADDR: "10.96.0.5",
      MY_API_PORT_53_UDP: "udp://10.96.0.5:53",
      MY_API_PORT_53_UDP_PROTO: "udp",
      MY_API_PORT_53_UDP_PORT: "53",
      MY_API_PORT_53_UDP_ADDR: "10.96.0.5",
    });
    assert.equal(got["SIX_PORT"], "tcp://[fd00::6]:80");
    assert.ok(!Object.keys(got).some((key) => /^(NONE|OTHER)_/.test(key)));
    const withoutLinks = serviceEnv({ namespace: "shop", links: false, services });
    assert.ok(Object.keys(withoutLinks).every((key) => key.startsWith("KUBERNETES_")));
  });
});

describe("resolv.conf", () => {
  const host = parseResolvConf("# c\nsearch old.example\nnameserver 192.0.2.1\nsearch corp.example. lab.example\noptions ndots:2 rotate\n");
  const settings = { clusterDns: ["10.96.0.10", "fd00:10:96::a"], clusterDomain: "cluster.local", host };

  test("the node's file: the last search line counts, trailing dots go", () => {
    assert.deepEqual(host, { servers: ["192.0.2.1"], searches: ["corp.example", "lab.example"], options: ["ndots:2", "rotate"] });
  });

  test("by policy", () => {
    const cluster = {
      servers: ["10.96.0.10", "fd00:10:96::a"],
      searches: ["shop.svc.cluster.local", "svc.cluster.local", "cluster.local", "corp.example", "lab.example"],
      options: ["ndots:5"],
    };
    assert.deepEqual(podDns(pod(), settings), { config: cluster });
    assert.deepEqual(podDns(pod({ dnsPolicy: "ClusterFirst", hostNetwork: true }), settings), { config: host });
    assert.deepEqual(podDns(pod({ dnsPolicy: "ClusterFirstWithHostNet", hostNetwork: true }), settings), { config: cluster });
    assert.deepEqual(podDns(pod({ dnsPolicy: "Default" }), settings), { config: host });
    assert.deepEqual(podDns(pod({ dnsPolicy: "None", dnsConfig: { nameservers: ["1.1.1.1"], searches: ["."] } }), settings), {
      config: { servers: ["1.1.1.1"], searches: ["."], options: [] },
    });
  });

  test("without a cluster DNS the node's is used, and the pod is told", () => {
    const { config, warning } = podDns(pod(), { ...settings, clusterDns: [] });
    assert.deepEqual(config, host);
    assert.equal(warning?.reason, "MissingClusterDNS");
  });

  test("dnsConfig adds servers and searches, and replaces options by name", () => {
    const dnsConfig = {
      nameservers: ["10.96.0.10", "9.9.9.9", "8.8.8.8"],
      searches: ["cluster.local", "under_score.example", "x".repeat(254)],
      options: [{ name: "ndots", value: "1" }, { name: "edns0" }],
    };
    const { config, warning } = podDns(pod({ dnsConfig }), settings);
    assert.deepEqual(config.servers, ["10.96.0.10", "fd00:10:96::a", "9.9.9.9"]);
    assert.deepEqual(config.options, ["ndots:1", "edns0"]);
    assert.deepEqual(config.searches.slice(-2), ["lab.example", "under_score.example"]);
    assert.equal(warning?.reason, "DNSConfigForming");
  });

  test("at most 32 searches of 2048 characters", () => {
    const searches = Array.from({ length: 40 }, (_, i) => `s${i}.example`);
    assert.equal(podDns(pod({ dnsConfig: { searches } }), settings).config.searches.length, 32);
    const long = Array.from({ length: 20 }, (_, i) => `${String(i).padStart(200, "a")}`);
    const { config } = podDns(pod({ dnsPolicy: "None", dnsConfig: { searches: long } }), settings);
    assert.ok(config.searches.join(" ").length <= 2048);
  });

  test("a node without name servers asks itself", () => {
    const empty = { servers: [], searches: [], options: [] };
    assert.deepEqual(podDns(pod({ dnsPolicy: "Default" }), { ...settings, host: empty }).config, {
      servers: ["127.0.0.1"],
      searches: ["."],
      options: [],
    });
  });
});

describe("names", () => {
  test("host names", () => {
    assert.deepEqual(hostnameOf(pod(), "node-1", "cluster.local"), { hostname: "web" });
    assert.deepEqual(hostnameOf(pod({ hostname: "h", subdomain: "sub" }), "node-1", "cluster.local"), {
      hostname: "h",
      fqdn: "h.sub.shop.svc.cluster.local",
    });
    assert.equal(hostnameOf(pod({ hostNetwork: true, hostname: "h" }), "node-1", "cluster.local").hostname, "node-1");
    assert.equal(hostnameOf(pod({}, `${"x".repeat(62)}-tail`), "n", "z").hostname, "x".repeat(62));
    const asFqdn = hostnameOf(pod({ hostname: "h", subdomain: "s", setHostnameAsFQDN: true }), "n", "z");
    assert.equal(asFqdn.hostname, "h.s.shop.svc.z");
  });

  test("/etc/hosts", () => {
    const text = hostsFile({
      ips: ["10.0.0.5", "fd00::5"],
      hostname: "h",
      fqdn: "h.s.ns.svc.z",
      aliases: [{ ip: "1.2.3.4", hostnames: ["x", "y"] }],
    });
    assert.match(text, /^# Kubernetes-managed hosts file\.\n127\.0\.0\.1\tlocalhost\n/);
    assert.match(
      text,
      /\n10\.0\.0\.5\th\.s\.ns\.svc\.z\th\nfd00::5\th\.s\.ns\.svc\.z\th\n\n# Entries added by HostAliases\.\n1\.2\.3\.4\tx\ty\n$/,
    );
    assert.equal(
      hostNetworkHostsFile("127.0.0.1 localhost\n", []),
      "# Kubernetes-managed hosts file (host network).\n127.0.0.1 localhost\n",
    );
  });

  test("quality of service", () => {
    const of = (...resources: Container["resources"][]): string =>
      qosClassOf(pod({ containers: resources.map((r, i) => ({ name: `c${i}`, ...(r !== undefined && { resources: r }) })) }));
    assert.equal(of(undefined), "BestEffort");
    assert.equal(of({ limits: { cpu: "0", memory: "0" } }), "BestEffort");
    assert.equal(of({ limits: { cpu: "1", memory: "1Gi" } }), "Guaranteed");
    assert.equal(of({ limits: { cpu: "1", memory: "1Gi" }, requests: { cpu: "500m" } }), "Burstable");
    assert.equal(of({ limits: { cpu: "1", memory: "1Gi" } }, undefined), "Burstable");
  });
});

describe("what the runtime is told", () => {
  const build = (spec: Partial<PodSpec>, container: Partial<Container> = {}) =>
    containerConfig({
      pod: pod(spec),
      container: { name: "c", image: "agnhost", ...container },
      attempt: 2,
      env: { A: "1" },
      hostPath: (mount, subPath) => `/vol/${mount.name}/${subPath ?? ""}`,
      hostsFile: "/hosts",
      terminationFile: "/last-words",
    });

  test("namespaces and host ports", () => {
    const config = (spec: Partial<PodSpec>) =>
      sandboxConfig({ pod: pod(spec), attempt: 0, hostname: "web", logDirectory: "/log", dns: { servers: [], searches: [], options: [] } });
    assert.deepEqual(config({}).namespaces, { network: "pod", pid: "container", ipc: "pod" });
    assert.deepEqual(config({ hostNetwork: true, hostPID: true, hostIPC: true }).namespaces, { network: "node", pid: "node", ipc: "node" });
    assert.equal(config({ shareProcessNamespace: true }).namespaces.pid, "pod");
    const ports = [{ containerPort: 53, hostPort: 5353, protocol: "UDP", hostIP: "127.0.0.1" }, { containerPort: 80 }];
    assert.deepEqual(config({ containers: [{ name: "c", ports }] }).portMappings, [
      { protocol: "UDP", containerPort: 53, hostPort: 5353, hostIp: "127.0.0.1" },
    ]);
    const port = [{ containerPort: 80, hostPort: 8080 }];
    const initContainers = [
      { name: "sidecar", restartPolicy: "Always", ports: port },
      { name: "init", ports: port },
    ];
    const mapped = [{ protocol: "TCP", containerPort: 80, hostPort: 8080 }];
    assert.deepEqual(config({ containers: [{ name: "c" }], initContainers }).portMappings, mapped);
    assert.deepEqual(config({ hostNetwork: true, containers: [{ name: "c", ports: port }] }).portMappings, []);
  });

  test("command, mounts, log path", () => {
    const mounts = [
      { name: "v", mountPath: "/data", subPathExpr: "x-$(A)", readOnly: true },
      { name: "w", mountPath: "/w" },
    ];
    const config = build({}, { command: ["run", "$(A)"], args: ["$$(A)"], volumeMounts: mounts, terminationMessagePath: "/words" });
    assert.deepEqual([config.command, config.args], [["run", "1"], ["$(A)"]]);
    assert.equal(config.logPath, "c/2.log");
    assert.deepEqual(config.mounts, [
      { containerPath: "/data", hostPath: "/vol/v/x-1", readonly: true },
      { containerPath: "/w", hostPath: "/vol/w/", readonly: false },
      { containerPath: "/etc/hosts", hostPath: "/hosts", readonly: false },
      { containerPath: "/words", hostPath: "/last-words", readonly: false },
    ]);
  });

  test("the container's security settings win over the pod's", () => {
    const securityContext = { runAsUser: 1000, runAsGroup: 1000, fsGroup: 2000, supplementalGroups: [3000] };
    const config = build(
      { securityContext },
      { securityContext: { runAsUser: 1, allowPrivilegeEscalation: false, capabilities: { add: ["NET_ADMIN"] } } },
    );
    assert.deepEqual(config.securityContext, {
      privileged: false,
      capabilities: { add: ["NET_ADMIN"], drop: [] },
      runAsUser: 1,
      runAsGroup: 1000,
      supplementalGroups: [3000, 2000],
      readonlyRootfs: false,
      noNewPrivs: true,
    });
    assert.throws(() => build({ securityContext: { runAsNonRoot: true } }), {
      code: "CreateContainerConfigError",
      message: /will run as root/,
    });
  });
});
