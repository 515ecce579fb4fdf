import { describe, expect, it } from "vitest";

import type { RunEvent } from "@/api/run-events";
import type { Json, Step } from "@/api/types";

import { folded, foldedSteps, NO_STATES, nodeOf, type RunStates } from "./node-states";

const event = (kind: string, data: Record<string, Json>): RunEvent => ({ kind, data, id: null });
const step = (label: string, status: string, more: Record<string, Json> = {}) =>
  event("step", { label, type: "model:a", status, ...more });
const after = (...events: RunEvent[]): RunStates => events.reduce(folded, NO_STATES);

function stored(label: string, more: Partial<Step>): Step {
  return {
    label,
    node: nodeOf(label),
    type: "model:a",
    status: "succeeded",
    reason: null,
    tries: 1,
    started_at: null,
    finished_at: null,
    seconds: 1,
    usage: null,
    cost: null,
    output: null,
    error: null,
    ...more,
  };
}

describe("a label", () => {
  it.each([
    ["gen", "gen"],
    ["gen.2", "gen"],
    ["sub/gen", "sub"],
    ["sub.2/gen.0", "sub"],
    ["v2", "v2"],
  ])("%s is of the node %s", (label, name) => {
    expect(nodeOf(label)).toBe(name);
  });
});

describe("events of a run", () => {
  it("tell how far a node is, by its real steps", () => {
    const states = after(
      step("gen", "running"),
      event("progress", { step: "gen", phase: "denoising", done: 5, total: 20 }),
    );
    expect(states.nodes["gen"]).toMatchObject({ status: "running", fraction: 0.25, done: 5, total: 20 });
  });

  it("show a picture on the way until the node has ended", () => {
    const preview = event("preview", { step: "gen", index: 0, media_type: "image/png", data: "AA==" });
    expect(after(step("gen", "running"), preview).nodes["gen"]?.preview).toBe("data:image/png;base64,AA==");
    expect(after(step("gen", "running"), preview, step("gen", "succeeded")).nodes["gen"]?.preview).toBeNull();
  });

  it("gather the words of a model", () => {
    const states = after(event("output", { step: "say", text: "he" }), event("output", { step: "say", text: "llo" }));
    expect(states.nodes["say"]?.text).toBe("hello");
  });

  it("say what a node took, cost and put out", () => {
    const cost = { nano_usd: 5, usd: "0.000000005" };
    const states = after(step("gen", "succeeded", { seconds: 1.5, cost, output: { text: "x" } }));
    expect(states.nodes["gen"]).toMatchObject({
      status: "succeeded",
      fraction: 1,
      seconds: 1.5,
      cost,
      outputs: { text: "x" },
    });
  });

  it("put an error on its node, with the field that it is about", () => {
    const error = { code: "invalid_value", message: "too long", param: "inputs.prompt.0" };
    const states = after(step("gen", "failed", { error }));
    expect(states.nodes["gen"]?.error).toEqual({ code: "invalid_value", message: "too long", field: "prompt" });
  });

  it("count the items of a list together", () => {
    const states = after(
      step("gen.0", "succeeded"),
      step("gen.1", "running"),
      event("progress", { step: "gen.1", done: 1, total: 2 }),
    );
    expect(states.nodes["gen"]).toMatchObject({ status: "running", numSteps: 2, numEnded: 1, fraction: 0.75 });
  });

  it("leave the states of other nodes the very objects that they were", () => {
    const first = after(step("a", "succeeded"));
    expect(folded(first, step("b", "running")).nodes["a"]).toBe(first.nodes["a"]);
    expect(folded(first, event("log", { message: "x" }))).toBe(first);
  });

  it("leave nothing running when the run is canceled", () => {
    const states = after(step("a", "succeeded"), step("b", "running"), event("canceled", {}));
    expect([states.nodes["a"]?.status, states.nodes["b"]?.status]).toEqual(["succeeded", "canceled"]);
  });
});

describe("stored steps", () => {
  it("have the outputs that were too large for an event", () => {
    const states = foldedSteps(after(step("gen", "succeeded")), [stored("gen", { output: { text: "long" } })]);
    expect(states.nodes["gen"]?.outputs).toEqual({ text: "long" });
  });

  it("say what came from the cache, and why a node was skipped", () => {
    const states = foldedSteps(NO_STATES, [
      stored("a", { status: "cached", reason: "of run x" }),
      stored("b", { status: "skipped", reason: "its condition is false" }),
    ]);
    expect(states.nodes["a"]).toMatchObject({ status: "cached", reason: "of run x", fraction: 1 });
    expect(states.nodes["b"]).toMatchObject({ status: "skipped", reason: "its condition is false" });
  });
});
