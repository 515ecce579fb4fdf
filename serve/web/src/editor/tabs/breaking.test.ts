import { describe, expect, it } from "vitest";

import { breaks, type Difference, grouped } from "./breaking";

const found = (kind: string, field: string | null, after: unknown = null, before: unknown = null): Difference => ({
  kind,
  node: null,
  field,
  before: before as never,
  after: after as never,
  message: kind,
});

describe("what may break callers", () => {
  it.each<[string, Difference]>([
    ["Input a is gone: calls that send it are refused.", found("input_removed", "interface.inputs.a")],
    ["Input a must be given now.", found("input_added", "interface.inputs.a", { name: "a", default: null })],
    ["Input a takes another type.", found("input_changed", "interface.inputs.a.type", "image")],
    ["Input a must be given now.", found("input_changed", "interface.inputs.a.default", null, "x")],
    ["Input a must be given now.", found("input_changed", "interface.inputs.a.optional", false)],
    ["Input a takes other values than before.", found("input_changed", "interface.inputs.a.constraints", {})],
    ["Output a is gone.", found("output_removed", "interface.outputs.a")],
  ])("%s", (sentence, difference) => {
    expect(breaks([difference, difference])).toEqual([sentence]);
  });

  it.each<[string, Difference]>([
    ["an input with a default is new", found("input_added", "interface.inputs.a", { default: 1 })],
    ["an optional input is new", found("input_added", "interface.inputs.a", { default: null, optional: true })],
    ["another default", found("input_changed", "interface.inputs.a.default", 2, 1)],
    ["an output is new", found("output_added", "interface.outputs.a")],
    ["a node is another", found("node_changed", "inputs.steps", 2)],
    ["words", found("words", "title")],
  ])("nothing, where %s", (_, difference) => {
    expect(breaks([difference])).toEqual([]);
  });
});

describe("differences", () => {
  it("stand by what they are about", () => {
    const all = [
      found("words", "title"),
      found("node_added", null),
      found("output_added", null),
      found("layout", null),
    ];
    expect(grouped(all).map(([group, some]) => [group, some.length])).toEqual([
      ["interface", 1],
      ["meaning", 1],
      ["words", 2],
    ]);
  });
});
