import { describe, expect, it } from "vitest";

import { missingInputs, planSentence } from "./plan-sentence";
import type { NodePlan, Plan } from "./state";

const usd = (nano: number) => ({ nano_usd: nano, usd: String(nano / 1e9) });

function node(status: NodePlan["status"], times = 0): NodePlan {
  return { node: "a", type: "op:x", status, reason: null, times, seconds: 0, cost: null, cost_at_most: null };
}

function plan(nodes: NodePlan[], more: Partial<Plan> = {}): Plan {
  return {
    object: "workflow_plan",
    workflow: "a@draft",
    nodes,
    seconds: 6.4,
    cost: usd(4_000_000),
    cost_at_most: usd(9_000_000),
    quantities_at_most: {},
    critical_path: [],
    notes: [],
    ...more,
  };
}

const THREE = [node("runs", 1), node("runs"), node("runs"), node("cached"), node("cached")];

describe("the plan in a sentence", () => {
  it.each<[string, Plan]>([
    ["3 run, 2 cached, about 6.4 s, $0.004 (at most $0.009)", plan(THREE)],
    ["3 run, 2 cached, about 6.4 s, $0.004", plan(THREE, { cost_at_most: usd(4_000_000) })],
    ["3 run, 2 cached, time not known yet, at most $0.009", plan(THREE, { seconds: null, cost: null })],
    ["1 run, about 6.4 s, no price set", plan([node("runs", 1)], { cost: null, cost_at_most: null })],
    ["1 run, about 6.4 s, no cost", plan([node("runs")], { cost: usd(0), cost_at_most: usd(0) })],
    ["1 run, 1 may run, about 6.4 s, $0.004 (at most $0.009)", plan([node("runs", 1), node("depends", 1)])],
    ["2 cached, nothing to run", plan([node("cached"), node("cached")])],
    ["nothing to run", plan([])],
  ])("%s", (sentence, told) => {
    expect(planSentence(told)).toBe(sentence);
  });
});

describe("what a run must be given", () => {
  const inputs = [
    { name: "a" },
    { name: "b", default: 0 },
    { name: "c", optional: true },
    { name: "d", default: null },
  ];
  it("is what has neither a value nor a default, and is not optional", () => {
    expect(missingInputs(inputs, {}).map((one) => one.name)).toEqual(["a", "d"]);
    expect(missingInputs(inputs, { a: "x", d: false })).toEqual([]);
    expect(missingInputs(inputs, { a: "", d: 0 }).map((one) => one.name)).toEqual(["a"]);
  });
});
