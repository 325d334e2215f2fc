// The Node object of this machine. Pure: what the machine has is handed in. After `pkg/kubelet/nodestatus/setters.go`.
import type { Node, NodeCondition, NodeStatus } from "kubernetes-types/core/v1";
import { formatTime } from "#base";

const KUBELET_VERSION = "v1.33.0";
export const KUBELET_PORT = 10_250;
const MAX_PODS = 110;

export interface MachineFacts {
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly diskBytes: number;
  readonly architecture: string;
  readonly kernelVersion: string;
  readonly osImage: string;
  readonly machineId: string;
  readonly bootId: string;
  readonly runtimeVersion: string;
}

export interface NodeFacts {
  readonly name: string;
  readonly addresses: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly port: number;
  readonly machine: MachineFacts;
}

export function nodeLabels({ name, labels, machine }: NodeFacts): Record<string, string> {
  const { architecture } = machine;
  return {
    "beta.kubernetes.io/arch": architecture,
    "beta.kubernetes.io/os": "linux",
    "kubernetes.io/arch": architecture,
    "kubernetes.io/hostname": name,
    "kubernetes.io/os": "linux",
    ...labels,
  };
}

/** The resources of the machine; nothing is set aside for it. */
export function allocatable(machine: MachineFacts): Record<string, string> {
  return {
    cpu: String(machine.cpus),
    memory: `${Math.floor(machine.memoryBytes / 1024)}Ki`,
    "ephemeral-storage": `${Math.floor(machine.diskBytes / 1024)}Ki`,
    "hugepages-1Gi": "0",
    "hugepages-2Mi": "0",
    pods: String(MAX_PODS),
  };
}

export interface Readiness {
  readonly ready: boolean;
  readonly message: string;
}

/** `before`: the status that the API has; transition times and what others write are kept. */
export function nodeStatus(facts: NodeFacts, readiness: Readiness, nowMs: number, before: NodeStatus = {}): NodeStatus {
  const { machine, addresses, name, port } = facts;
  const resources = allocatable(machine);
  return {
    ...before,
    addresses: [...addresses.map((address) => ({ type: "InternalIP", address })), { type: "Hostname", address: name }],
    capacity: resources,
    allocatable: resources,
    conditions: conditions(readiness, nowMs, before.conditions ?? []),
    daemonEndpoints: { kubeletEndpoint: { Port: port } },
    nodeInfo: {
      architecture: machine.architecture,
      bootID: machine.bootId,
      containerRuntimeVersion: machine.runtimeVersion,
      kernelVersion: machine.kernelVersion,
      kubeProxyVersion: "",
      kubeletVersion: KUBELET_VERSION,
      machineID: machine.machineId,
      operatingSystem: "linux",
      osImage: machine.osImage,
      systemUUID: machine.machineId,
    },
  };
}

function conditions({ ready, message }: Readiness, nowMs: number, before: readonly NodeCondition[]): NodeCondition[] {
  const verdicts: [string, boolean, string, string][] = [
    ["MemoryPressure", false, "KubeletHasSufficientMemory", "kubelet has sufficient memory available"],
    ["DiskPressure", false, "KubeletHasNoDiskPressure", "kubelet has no disk pressure"],
    ["PIDPressure", false, "KubeletHasSufficientPID", "kubelet has sufficient PID available"],
    ["Ready", ready, ready ? "KubeletReady" : "KubeletNotReady", message],
  ];
  const now = formatTime(nowMs);
  const own = verdicts.map(([type, status, reason, text]): NodeCondition => {
    const old = before.find((condition) => condition.type === type);
    const value = status ? "True" : "False";
    const since = old?.status === value ? (old.lastTransitionTime ?? now) : now;
    return { type, status: value, reason, message: text, lastHeartbeatTime: now, lastTransitionTime: since };
  });
  return [...before.filter((condition) => !own.some(({ type }) => type === condition.type)), ...own];
}

export function nodeObject(facts: NodeFacts, readiness: Readiness, nowMs: number): Node {
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: facts.name, labels: nodeLabels(facts) },
    spec: {},
    status: nodeStatus(facts, readiness, nowMs),
  };
}
