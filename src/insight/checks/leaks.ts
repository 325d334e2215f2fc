// What is left of pods that are gone. Pure.
import { formatAddr, prefixContains } from "#ip";
import type * as model from "#model";
import type { NodeReport, ObservedNamespace } from "#observe";
import { hostEnd, neighText } from "./observed.ts";
import type { Check, Facts, Finding, Lease } from "./types.ts";

export const nothingLeaked: Check = {
  number: 15,
  title: "nothing is left of pods that are gone",
  proves: "every pod's namespace has its Pod, and every held address and every port and neighbour of a bridge belongs to a pod",
  unit: "objects",
  run(facts) {
    const keys = new Set(facts.objects.pods.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`));
    let examined = 0;
    const failures = facts.answers.flatMap(({ node, report, leases = [] }): Finding[] => {
      const own = report?.namespaces.find(({ role }) => role === "node");
      if (report === undefined || own === undefined) return [];
      const pods = report.namespaces.filter(({ role }) => role === "pod");
      const bridges = new Set(own.state.links.filter(({ type }) => type.kind === "bridge").map(({ name }) => name));
      const ports = own.state.links.filter(({ master }) => master !== undefined && bridges.has(master));
      const neighs = neighboursOf(own, bridges, facts);
      examined += pods.length + ports.length + neighs.length + leases.length;
      return [
        ...pods.filter(({ state }) => !keys.has(state.name)).map(({ state }) => leftNamespace(node, state.name)),
        ...portsWithoutPod(report, own, ports),
        ...leasesWithoutPod(node, leases, pods),
        ...neighs.filter((neigh) => !isOfPod(neigh, facts)).map((neigh) => leftNeighbour(node, neigh)),
      ];
    });
    return { examined, failures };
  },
};

function leftNamespace(node: string, name: string): Finding {
  const problem = `its network namespace is on ${node}, and the API has no such Pod`;
  return { object: `pod ${name}`, problem, remedy: "restart the node's agent: it removes what has no Pod" };
}

function portsWithoutPod(report: NodeReport, own: ObservedNamespace, ports: readonly model.Link[]): Finding[] {
  const taken = new Set(
    report.namespaces.flatMap((pod) => (pod.role === "pod" ? pod.ends.flatMap(({ link }) => hostEnd(own, pod, link) ?? []) : [])),
  );
  const isVeth = (name: string): boolean => own.ends.some(({ link }) => link === name);
  return ports
    .filter(({ name }) => isVeth(name) && !taken.has(name))
    .map(({ name, master = "" }) => {
      const problem = `link ${name} is a port of ${master}, and leads to no pod`;
      return { object: `node ${report.node}`, problem, remedy: `\`ip link del ${name}\` in the node's namespace` };
    });
}

function leasesWithoutPod(node: string, leases: readonly Lease[], pods: readonly ObservedNamespace[]): Finding[] {
  const sandboxes = new Set(pods.flatMap(({ pod }) => pod?.sandboxId ?? []));
  return leases
    .filter(({ containerId }) => !sandboxes.has(containerId))
    .map(({ addr, containerId }) => {
      const problem = `address ${addr} is held for sandbox ${containerId.slice(0, 12)}, which is gone`;
      return { object: `node ${node}`, problem, remedy: "restart the node's agent: it gives back what no pod has" };
    });
}

/** Permanent ones of pods. */
function neighboursOf({ state }: ObservedNamespace, bridges: ReadonlySet<string>, { settings }: Facts): model.Neigh[] {
  const isPod = ({ addr }: model.Neigh): boolean => settings.podCidrs.some((block) => prefixContains(block, addr));
  return (state.neighs ?? []).filter((neigh) => neigh.state === "permanent" && bridges.has(neigh.link) && isPod(neigh));
}

function isOfPod({ addr }: model.Neigh, { objects }: Facts): boolean {
  const text = formatAddr(addr);
  return objects.pods.some(({ status }) => status?.podIPs?.some(({ ip }) => ip === text) === true);
}

function leftNeighbour(node: string, neigh: model.Neigh): Finding {
  const problem = `neighbour ${neighText(neigh)} is no pod's`;
  return { object: `node ${node}`, problem, remedy: `\`ip neigh del ${formatAddr(neigh.addr)} dev ${neigh.link}\`` };
}
