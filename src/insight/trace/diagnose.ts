// From how a packet ended to why, proven by what is shown: one small function for each thing that can be wrong. Pure.
import type * as model from "#model";
import { conntrackFull, linkDown, martian, mtu, noFdb, noNeighbour, noRoute, notForwarding, rpFilter, ttl } from "./path-cause.ts";
import { policyCause } from "./policy-cause.ts";
import { serviceCause } from "./service-cause.ts";
import { portClosed } from "./socket-cause.ts";
import type { Cause, Culprit, Ending, Scene } from "./types.ts";

type Diagnosis = (scene: Scene, ending: Ending) => Cause;

const BY_REASON: Readonly<Record<model.DropReason, Diagnosis>> = {
  rule: byRule,
  "no route": noRoute,
  "no neighbour": noNeighbour,
  mtu,
  ttl,
  rp_filter: rpFilter,
  martian,
  "link down": linkDown,
  "not forwarding": notForwarding,
  "other host": noFdb,
  "no such mac": noFdb,
  "port closed": portClosed,
  "conntrack full": conntrackFull,
  "conntrack clash": unknown,
  "not modelled": unknown,
  loop: unknown,
};

export function diagnose(scene: Scene, ending: Ending): Cause {
  const cause = BY_REASON[ending.why](scene, ending);
  return ending.direction === "request" ? cause : { ...cause, sentence: `the answer is lost: ${cause.sentence}` };
}

const OWN_TABLES: Readonly<Record<string, Diagnosis>> = {
  "inet fairlead-policy": policyCause,
  "inet fairlead-proxy": serviceCause,
};

function byRule(scene: Scene, ending: Ending): Cause {
  const { by } = ending;
  if (by === undefined) return unknown(scene, ending);
  const own = OWN_TABLES[by.table];
  if (own !== undefined) return own(scene, ending);
  if (isOwnTable(by)) {
    return { code: "fairlead rule", sentence: `${by.table} of ${ending.namespace} drops it`, facts: [by.text] };
  }
  return {
    code: "foreign rule",
    sentence: `a rule that is not Fairlead's drops it: table ${by.table}, chain ${by.chain}, on ${ending.namespace}`,
    facts: [by.text, `nft list chain ${by.table} ${by.chain}, in ${ending.namespace}`],
  };
}

export function isOwnTable({ table }: Pick<Culprit, "table">): boolean {
  return /^\S+ fairlead-/.test(table);
}

function unknown(_: Scene, { namespace, why, link }: Ending): Cause {
  const at = link === undefined ? "" : `, at link ${link}`;
  if (why !== "not modelled") return { code: "unknown", sentence: `it ends in ${namespace}${at}: ${why}`, facts: [] };
  const sentence = `it is lost in ${namespace}${at}, by nothing that is known: no rule of nftables dropped it, and routes, neighbours and links are in order`;
  return { code: "unknown", sentence, facts: [] };
}
