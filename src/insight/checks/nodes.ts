// What nodes are fit for: agents, clocks, connection tracking, settings of the kernel. Pure.
import type { Node } from "kubernetes-types/core/v1";
import type { Stored } from "#kube";
import { nodePairs } from "./observed.ts";
import type { Check, Finding, NodeAnswer } from "./types.ts";

export const agentsHealthy: Check = {
  number: 1,
  title: "agents are healthy",
  proves: "every Node is Ready, and its agent answers and could read all its namespaces",
  unit: "nodes",
  run({ objects, answers }) {
    const failures = objects.nodes.flatMap((node): Finding[] => {
      const { name } = node.metadata;
      const object = `node ${name}`;
      const answer = answers.find((one) => one.node === name);
      const remedy = "look at the agent's log, `fairlead status` says where it is";
      return [
        ...(isReady(node) ? [] : [{ object, problem: `is not Ready: ${readyMessage(node)}`, remedy }]),
        ...(answer?.error === undefined ? [] : [{ object, problem: `its agent does not answer: ${answer.error}`, remedy }]),
        ...(answer?.report?.problems ?? []).map((problem) => ({ object, problem: `its agent cannot read: ${problem}`, remedy })),
      ];
    });
    return { examined: objects.nodes.length, failures };
  },
};

function isReady({ status }: Stored<Node>): boolean {
  return status?.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True") === true;
}

function readyMessage({ status }: Stored<Node>): string {
  return status?.conditions?.find(({ type }) => type === "Ready")?.message ?? "it never was";
}

/** More makes leases, certificates and logs doubtful. */
const MAX_CLOCK_MS = 1000;

export const clocksAgree: Check = {
  number: 16,
  title: "clocks agree",
  proves: `no two nodes' clocks are certainly more than ${MAX_CLOCK_MS / 1000} s apart`,
  unit: "nodes",
  run({ answers }) {
    const offsets = answers.flatMap(({ node, report, askedMs, answeredMs }) =>
      report === undefined ? [] : [{ node, earliest: report.timeMs - answeredMs, latest: report.timeMs - askedMs }],
    );
    const failures = offsets.flatMap(({ node, earliest }): Finding[] => {
      const behind = offsets.find((other) => earliest - other.latest > MAX_CLOCK_MS);
      if (behind === undefined) return [];
      const seconds = ((earliest - behind.latest) / 1000).toFixed(1);
      const problem = `its clock is at least ${seconds} s ahead of ${behind.node}'s`;
      return [{ object: `node ${node}`, problem, remedy: "let NTP set both clocks" }];
    });
    return { examined: offsets.length, failures };
  },
};

/** New connections are dropped when there is no room (nf_conntrack: table full). */
const MAX_USE = 0.8;

export const conntrackRoom: Check = {
  number: 17,
  title: "connection tracking has room",
  proves: `every namespace holds fewer than ${MAX_USE * 100} % of the connections that it may`,
  unit: "namespaces",
  run({ answers }) {
    const all = reported(answers);
    const failures = all.flatMap(({ role, state, conntrack: { count, max } }): Finding[] => {
      if (max === 0 || count < max * MAX_USE) return [];
      const problem = `holds ${count} connections of at most ${max}`;
      return [{ object: `${role} ${state.name}`, problem, remedy: "raise net.netfilter.nf_conntrack_max, and look who opens so many" }];
    });
    return { examined: all.length, failures };
  },
};

function reported(answers: readonly NodeAnswer[]): NonNullable<NodeAnswer["report"]>["namespaces"] {
  return answers.flatMap(({ report }) => report?.namespaces ?? []);
}

export const kernelSettings: Check = {
  number: 19,
  title: "the kernels' settings are right",
  proves: "nodes forward, and reverse path filtering (the greater of `all` and the link's) drops nothing that comes through the tunnel",
  unit: "settings",
  run(facts) {
    const { settings, objects } = facts;
    const families = new Set(settings.podCidrs.map(({ addr }) => addr.family));
    let examined = 0;
    const failures = nodePairs(facts).flatMap(({ node, found, desired }): Finding[] => {
      const own = found.state.sysctls ?? {};
      const expected = new Map(Object.entries(desired.sysctls ?? {}).filter(([name]) => Object.hasOwn(own, name)));
      if (families.has(4)) expected.set("net/ipv4/ip_forward", 1);
      if (families.has(6)) expected.set("net/ipv6/conf/all/forwarding", 1);
      examined += expected.size;
      const object = `node ${node}`;
      return [...expected].flatMap(([name, wanted]): Finding[] => {
        const value = effective(own, name);
        if (isGood(name, value, wanted)) return [];
        const setting = name.replaceAll("/", ".");
        return [{ object, problem: `${setting} is ${value ?? "not there"}, not ${wanted}`, remedy: `\`sysctl -w ${setting}=${wanted}\`` }];
      });
    });
    return { examined: objects.nodes.length === 0 ? 0 : examined, failures };
  },
};

const RP_FILTER = /^net\/ipv4\/conf\/[^/]+\/rp_filter$/;

/** Of rp_filter the greater of `all` and the link's counts (ip-sysctl.rst). */
function effective(own: Readonly<Record<string, number>>, name: string): number | undefined {
  const value = own[name];
  return RP_FILTER.test(name) && value !== undefined ? Math.max(value, own["net/ipv4/conf/all/rp_filter"] ?? 0) : value;
}

/** rp_filter: 1 is strict, and drops what comes back another way. */
function isGood(name: string, value: number | undefined, wanted: number): boolean {
  return RP_FILTER.test(name) ? value !== undefined && (value === wanted || value !== 1) : value === wanted;
}
