/** Pure: the plan of a run in one sentence, "3 run, 2 cached, about 6 s, $0.004 (at most $0.01)". */
import { strings } from "@/strings";
import { duration, money } from "@/ui/quantities";

import type { Plan } from "./state";

export function planSentence(plan: Plan): string {
  const words = strings.workflowRun.plan;
  const num = { runs: 0, cached: 0, depends: 0 };
  for (const node of plan.nodes) num[node.status] += 1;
  const parts: string[] = [];
  if (num.runs > 0) parts.push(words.run(num.runs));
  if (num.cached > 0) parts.push(words.cached(num.cached));
  if (num.depends > 0) parts.push(words.depends(num.depends));
  if (plan.nodes.length === 0) return words.nothing;
  if (num.runs + num.depends === 0) return [...parts, words.nothing].join(", ");
  parts.push(...timeAndCost(plan));
  return parts.join(", ");
}

function timeAndCost(plan: Plan): string[] {
  const words = strings.workflowRun.plan;
  const time = plan.seconds === null ? words.timeUnknown : words.time(duration(plan.seconds));
  return [time, costOf(plan)];
}

function costOf({ cost, cost_at_most: most, nodes }: Plan): string {
  const words = strings.workflowRun.plan;
  if (most === null) return nodes.some((node) => node.times > 0) ? words.noPrice : words.free;
  if (most.nano_usd === 0) return words.free;
  if (cost === null) return words.costAtMost(money(most));
  if (cost.nano_usd === most.nano_usd) return money(cost);
  return words.cost(money(cost), money(most));
}

/** Inputs that a run must be given, and that have no value yet. */
export function missingInputs<Input extends { name: string; default?: unknown; optional?: boolean }>(
  inputs: readonly Input[],
  values: Readonly<Record<string, unknown>>,
): Input[] {
  return inputs.filter((one) => (one.default ?? null) === null && !one.optional && isEmpty(values[one.name]));
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === null || value === "";
}
