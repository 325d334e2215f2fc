// Links, addresses, routes, neighbours and forwarding entries: what carries packets. Pure.
import { formatPrefix, prefixContains } from "#ip";
import type * as model from "#model";
import { addrText, fdbText, missingOf, type NodePair, neighText, nodePairs, podPairs, routeText } from "./observed.ts";
import type { Check, Facts, Finding } from "./types.ts";

const MAIN = 254;
const RESTART = "restart the node's agent: it writes what is missing";

function missing(object: string, what: string, texts: readonly string[], remedy: string = RESTART): Finding[] {
  return texts.map((text) => ({ object, problem: `${what} is missing: ${text}`, remedy }));
}

function linkFaults(object: string, wanted: model.Link, found: model.Namespace): Finding[] {
  const link = found.links.find(({ name }) => name === wanted.name);
  if (link === undefined) return [{ object, problem: `link ${wanted.name} is missing`, remedy: RESTART }];
  const faults: string[] = [];
  if (wanted.up && !link.up) faults.push(`link ${link.name} is down`);
  if (wanted.master !== undefined && link.master !== wanted.master) {
    faults.push(`link ${link.name} is a port of ${link.master ?? "no bridge"}, not of ${wanted.master}`);
  }
  if (wanted.port?.isolated === true && link.port?.isolated !== true) faults.push(`link ${link.name} is not an isolated port`);
  if (
    wanted.type.kind === "vxlan" &&
    (link.type.kind !== "vxlan" || link.type.vni !== wanted.type.vni || link.type.port !== wanted.type.port)
  ) {
    faults.push(`link ${link.name} is not vxlan ${wanted.type.vni} at UDP ${wanted.type.port}`);
  }
  return faults.map((problem) => ({ object, problem, remedy: link.up ? RESTART : `\`ip link set ${link.name} up\`` }));
}

export const linksUp: Check = {
  number: 5,
  title: "links are there and up",
  proves: "every node's uplink, bridge, overlay and pods' links are up, of the right kind, and ports of the right bridge",
  unit: "links",
  run(facts) {
    const nodes = nodePairs(facts).flatMap(({ node, found, desired }) =>
      desired.links.map((link) => linkFaults(`node ${node}`, link, found.state)),
    );
    const pods = podPairs(facts).flatMap(({ key, found, desired }) =>
      found === undefined ? [] : desired.links.map((link) => linkFaults(`pod ${key}`, link, found.state)),
    );
    return { examined: nodes.length + pods.length, failures: [...nodes, ...pods].flat() };
  },
};

export const podsConnected: Check = {
  number: 6,
  title: "pods are connected",
  proves: "every running pod has a network namespace with its own addresses, routes and its gateway's MAC",
  unit: "pods",
  run(facts) {
    const pairs = podPairs(facts);
    const remedy = "delete the pod: its successor is connected anew";
    const failures = pairs.flatMap(({ key, node, found, desired }): Finding[] => {
      const object = `pod ${key}`;
      if (found === undefined) return [{ object, problem: `${node} has no network namespace for it`, remedy }];
      const { state } = found;
      return [
        ...missing(object, "address", missingOf(desired.addrs, state.addrs, addrText), remedy),
        ...missing(object, "route", missingOf(desired.routes, state.routes, routeText), remedy),
        ...missing(object, "neighbour", missingOf(desired.neighs ?? [], state.neighs ?? [], neighText), remedy),
      ];
    });
    return { examined: pairs.length, failures };
  },
};

/** What leads out of the cluster is known of the sandbox only. */
function routesOf({ desired }: NodePair, { settings }: Facts): readonly model.Route[] {
  return settings.isSandbox ? desired.routes : desired.routes.filter(({ dst }) => dst.bits > 0);
}

export const routesComplete: Check = {
  number: 7,
  title: "routes are complete",
  proves: "every node has its addresses, a route to the Pod CIDRs of every other node, and none to those of a node that is gone",
  unit: "routes",
  run(facts) {
    const pairs = nodePairs(facts);
    const failures = pairs.flatMap((pair): Finding[] => {
      const { node, found, desired } = pair;
      const object = `node ${node}`;
      const own = routesOf(pair, facts);
      return [
        ...missing(object, "address", missingOf(desired.addrs, found.state.addrs, addrText)),
        ...missing(object, "route", missingOf(own, found.state.routes, routeText)),
        ...strangers(pair, facts).map((text) => ({
          object,
          problem: `route leads where no node is: ${text}`,
          remedy: `\`ip route del ${text}\``,
        })),
      ];
    });
    return { examined: pairs.reduce((sum, pair) => sum + routesOf(pair, facts).length + pair.desired.addrs.length, 0), failures };
  },
};

/** Routes to other nodes' pods that should not be. */
function strangers({ found, desired }: NodePair, { settings }: Facts): string[] {
  const wanted = new Set(desired.routes.map(({ dst }) => formatPrefix(dst)));
  const isMain = ({ type = "unicast", table = MAIN }: model.Route): boolean => type === "unicast" && table === MAIN;
  const isOfPods = ({ dst }: model.Route): boolean =>
    settings.podCidrs.some((block) => block.bits <= dst.bits && prefixContains(block, dst.addr));
  const leads = ({ nextHops }: model.Route): boolean => nextHops.some(({ via }) => via !== undefined);
  return found.state.routes
    .filter((route) => isMain(route) && leads(route) && isOfPods(route) && !wanted.has(formatPrefix(route.dst)))
    .map(routeText);
}

export const neighboursComplete: Check = {
  number: 8,
  title: "neighbours are complete",
  proves: "every node knows the MACs of its pods and of the other nodes' tunnel ends, for good and right",
  unit: "neighbours",
  run(facts) {
    const pairs = nodePairs(facts);
    const failures = pairs.flatMap(({ node, found, desired }) =>
      missing(`node ${node}`, "neighbour", missingOf(desired.neighs ?? [], permanent(found.state.neighs ?? []), neighText)),
    );
    return { examined: pairs.reduce((sum, { desired }) => sum + (desired.neighs?.length ?? 0), 0), failures };
  },
};

function permanent(neighs: readonly model.Neigh[]): model.Neigh[] {
  return neighs.filter(({ state }) => state === undefined || state === "permanent" || state === "noarp");
}

export const forwardingComplete: Check = {
  number: 9,
  title: "forwarding entries are complete",
  proves: "every node's bridge and tunnel have an entry for each pod and each other node, and tunnels none to elsewhere",
  unit: "entries",
  run(facts) {
    const pairs = nodePairs(facts);
    const failures = pairs.flatMap(({ node, found, desired }): Finding[] => {
      const [wanted, there] = [desired.fdb ?? [], found.state.fdb ?? []];
      const tunnels = new Set(desired.links.filter(({ type }) => type.kind === "vxlan").map(({ name }) => name));
      const more = missingOf(
        there.filter(({ link, dst }) => tunnels.has(link) && dst !== undefined),
        wanted,
        fdbText,
      );
      return [
        ...missing(`node ${node}`, "forwarding entry", missingOf(wanted, there, fdbText)),
        ...more.map((text) => ({ object: `node ${node}`, problem: `tunnel leads where no node is: ${text}`, remedy: RESTART })),
      ];
    });
    return { examined: pairs.reduce((sum, { desired }) => sum + (desired.fdb?.length ?? 0), 0), failures };
  },
};

export const sameMtu: Check = {
  number: 10,
  title: "MTUs agree along every path",
  proves: "pod, bridge, tunnel and uplink have the MTUs with which a pod's largest packet fits everywhere on its way",
  unit: "links",
  run(facts) {
    const nodes = nodePairs(facts).map(({ node, found, desired }) => ({ object: `node ${node}`, found: found.state, desired }));
    const pods = podPairs(facts).flatMap(({ key, found, desired }) =>
      found === undefined ? [] : [{ object: `pod ${key}`, found: found.state, desired }],
    );
    const pairs = [...nodes, ...pods].flatMap(({ object, found, desired }) =>
      desired.links.flatMap(({ name, mtu: wanted }) => {
        const mtu = found.links.find((link) => link.name === name)?.mtu;
        return wanted === undefined || mtu === undefined ? [] : [{ object, name, wanted, mtu }];
      }),
    );
    const failures = pairs
      .filter(({ mtu, wanted }) => mtu !== wanted)
      .map(({ object, name, wanted, mtu }) => ({
        object,
        problem: `link ${name} has MTU ${mtu}, and ${wanted} is what fits`,
        remedy: `\`ip link set ${name} mtu ${wanted}\``,
      }));
    return { examined: pairs.length, failures };
  },
};
