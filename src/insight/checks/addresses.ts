// Addresses and blocks: nobody has another's, and everybody's is where it belongs. Pure.
import type { Service } from "kubernetes-types/core/v1";
import { type Addr, formatAddr, formatPrefix, type Prefix, prefixContains, prefixOverlaps, tryParseAddr, tryParsePrefix } from "#ip";
import { internalAddrsOf, keyOf, type Stored } from "#kube";
import type * as model from "#model";
import { addrsOf, hasNamespace } from "#shadow";
import type { Check, Facts, Finding } from "./types.ts";

interface Owned {
  readonly owner: string;
  readonly addr: Addr;
}

function nodesOf({ objects }: Facts): Owned[] {
  return objects.nodes.flatMap((node) => internalAddrsOf(node).addrs.map((addr) => ({ owner: `node ${node.metadata.name}`, addr })));
}

function podsOf({ objects }: Facts): Owned[] {
  return objects.pods.filter(hasNamespace).flatMap((pod) => addrsOf(pod).map((addr) => ({ owner: `pod ${keyOf(pod)}`, addr })));
}

function servicesOf({ objects }: Facts): Owned[] {
  return objects.services.flatMap((service) => clusterIps(service).map((addr) => ({ owner: `Service ${keyOf(service)}`, addr })));
}

function clusterIps({ spec }: Stored<Service>): Addr[] {
  return (spec?.clusterIPs ?? []).flatMap((text) => tryParseAddr(text) ?? []);
}

/** Addresses that namespaces really have; a namespace is counted once for each. */
function heldBy({ answers }: Facts): Owned[] {
  const held = answers.flatMap(({ report }) =>
    (report?.namespaces ?? []).flatMap(({ role, state }) =>
      state.addrs.map(({ prefix }) => ({ owner: `${role} ${state.name}`, addr: prefix.addr })),
    ),
  );
  const isOwn = ({ addr }: Owned): boolean => !/^(127\.|::1$|fe80:)/.test(formatAddr(addr));
  return [...new Map(held.filter(isOwn).map((one) => [`${one.owner} ${formatAddr(one.addr)}`, one])).values()];
}

function duplicates(owned: readonly Owned[], remedy: string): Finding[] {
  const groups = Map.groupBy(owned, ({ addr }) => formatAddr(addr));
  return [...groups].flatMap(([addr, owners]) => {
    const names = [...new Set(owners.map(({ owner }) => owner))];
    return names.length < 2 ? [] : [{ object: names.join(", "), problem: `all have the address ${addr}`, remedy }];
  });
}

/** What its node does not hold for it may become another pod's. */
function unheld({ answers }: Facts): Finding[] {
  return answers.flatMap(({ node, report, leases }) => {
    const held = new Set(leases?.map(({ addr, containerId }) => `${containerId} ${addr}`));
    const pods = leases === undefined ? [] : (report?.namespaces ?? []);
    return pods.flatMap(({ state, pod }) =>
      pod === undefined
        ? []
        : addrsOfLink(state, "eth0")
            .filter((addr) => !held.has(`${pod.sandboxId} ${addr}`))
            .map((addr) => ({
              object: `pod ${state.name}`,
              problem: `${node} does not hold its address ${addr} for it: another pod may get it`,
              remedy: "delete the pod: its successor gets an address of its own",
            })),
    );
  });
}

function addrsOfLink({ addrs }: model.Namespace, name: string): string[] {
  return addrs
    .filter(({ link }) => link === name)
    .map(({ prefix }) => formatAddr(prefix.addr))
    .filter((addr) => !addr.startsWith("fe80:"));
}

export const uniqueAddresses: Check = {
  number: 2,
  title: "addresses are unique",
  proves: "no two nodes, pods or Services have one address, by the API and in the kernels, and nodes hold those of their pods",
  unit: "addresses",
  run(facts) {
    const api = [...nodesOf(facts), ...podsOf(facts), ...servicesOf(facts)];
    const held = heldBy(facts);
    const failures = [
      ...unheld(facts),
      ...duplicates(api, "delete the one that came later, so that it gets another address"),
      ...duplicates(held, "`ip addr del` it where the API does not say that it is"),
    ];
    return { examined: api.length + held.length, failures };
  },
};

function outside({ owner, addr }: Owned, blocks: readonly Prefix[], what: string): Finding[] {
  if (blocks.some((block) => prefixContains(block, addr))) return [];
  const problem = `${formatAddr(addr)} is in none of ${what}: ${blocks.map(formatPrefix).join(", ") || "none"}`;
  return [{ object: owner, problem, remedy: "delete it, so that it is made again with an address of the block" }];
}

export const addressesInBlocks: Check = {
  number: 3,
  title: "addresses are inside their blocks",
  proves: "pods have addresses of their node's Pod CIDRs, Services of the Service CIDRs, and nodes of neither",
  unit: "addresses",
  run(facts) {
    const { podCidrs, serviceCidrs } = facts.settings;
    const pods = facts.objects.pods.filter(hasNamespace);
    const cidrsOf = new Map(facts.objects.nodes.map(({ metadata, spec }) => [metadata.name, cidrs(spec?.podCIDRs)]));
    const ofPods = pods.flatMap((pod) => {
      const node = pod.spec?.nodeName ?? "";
      return addrsOf(pod).flatMap((addr) =>
        outside({ owner: `pod ${keyOf(pod)}`, addr }, cidrsOf.get(node) ?? [], `the Pod CIDRs of ${node}`),
      );
    });
    const services = servicesOf(facts);
    const nodes = nodesOf(facts);
    const misplaced = nodes.flatMap(({ owner, addr }): Finding[] => {
      const block = [...podCidrs, ...serviceCidrs].find((one) => prefixContains(one, addr));
      if (block === undefined) return [];
      const problem = `${formatAddr(addr)} is in ${formatPrefix(block)}, which is for pods or Services`;
      return [{ object: owner, problem, remedy: "give nodes addresses outside the cluster's own blocks" }];
    });
    return {
      examined: podsOf(facts).length + services.length + nodes.length,
      failures: [...ofPods, ...services.flatMap((one) => outside(one, serviceCidrs, "the Service CIDRs")), ...misplaced],
    };
  },
};

function cidrs(texts: readonly string[] | undefined): Prefix[] {
  return (texts ?? []).flatMap((text) => tryParsePrefix(text) ?? []);
}

export const disjointPodCidrs: Check = {
  number: 4,
  title: "Pod CIDRs are disjoint",
  proves: "every node has Pod CIDRs of its own inside the cluster's, and none overlaps the Service CIDRs",
  unit: "Pod CIDRs",
  run({ objects, settings }) {
    const all = objects.nodes.flatMap(({ metadata, spec }) => cidrs(spec?.podCIDRs).map((block) => ({ node: metadata.name, block })));
    const remedy = "delete the Node and let its agent register it again";
    const without = objects.nodes
      .filter(({ spec }) => cidrs(spec?.podCIDRs).length === 0)
      .map(({ metadata }) => ({ object: `node ${metadata.name}`, problem: "has no Pod CIDR: its pods get no addresses", remedy }));
    const failures = all.flatMap(({ node, block }, i): Finding[] => {
      const object = `node ${node}`;
      const text = formatPrefix(block);
      const other = all.slice(0, i).find((one) => prefixOverlaps(one.block, block));
      const service = settings.serviceCidrs.find((one) => prefixOverlaps(one, block));
      const isInside = settings.podCidrs.some((one) => one.bits <= block.bits && prefixContains(one, block.addr));
      return [
        ...(other === undefined
          ? []
          : [{ object, problem: `${text} overlaps ${formatPrefix(other.block)} of node ${other.node}`, remedy }]),
        ...(service === undefined ? [] : [{ object, problem: `${text} overlaps the Service CIDR ${formatPrefix(service)}`, remedy }]),
        ...(isInside ? [] : [{ object, problem: `${text} is outside the cluster's Pod CIDRs`, remedy }]),
      ];
    });
    return { examined: all.length, failures: [...without, ...failures] };
  },
};
