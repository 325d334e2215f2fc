// Whether policies allow a flow, by what, and what it would take. Pure.
import { type Decided, decide, isolationsOf } from "./decide.ts";
import type { DirectionJudgement, Flow, Judgement, JudgeOptions, NearMiss, World } from "./judge-types.ts";
import { nearMissesOf } from "./near-misses.ts";
import { notesOf } from "./notes.ts";
import { openedBy } from "./opens.ts";

const NEAR_MISSES = 5;

export function judge(world: World, flow: Flow, options: JudgeOptions = {}): Judgement {
  const egress = decide(world, flow, "egress");
  const ingress = decide(world, flow, "ingress");
  return {
    allowed: egress.allowed && ingress.allowed,
    egress: explain(world, flow, egress, options),
    ingress: explain(world, flow, ingress, options),
    notes: notesOf(world, flow, [egress, ingress]),
  };
}

function explain(
  world: World,
  flow: Flow,
  decided: Decided,
  { nearMisses = NEAR_MISSES, opens = false }: JudgeOptions,
): DirectionJudgement {
  const { direction, subject, allowed, passedBy, decidedBy } = decided;
  const misses = allowed ? [] : nearMissesOf(world, flow, decided, nearMisses);
  const withOpens = (miss: NearMiss): NearMiss =>
    opens && miss.fix !== undefined ? { ...miss, opens: openedBy(world, miss.fix.edits, flow) } : miss;
  return {
    direction,
    ...(subject !== undefined && { subject: subject.key }),
    allowed,
    passedBy,
    decidedBy,
    isolatedBy: isolationsOf(decided),
    nearMisses: misses.map(withOpens),
  };
}
