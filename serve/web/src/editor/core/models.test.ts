import { describe, expect, it } from "vitest";

import type { NodeType } from "@/editor/node-types";

import { type Doc, EMPTY_DOCUMENT, nodeOf } from "./document";
import { modelsFor, setModel, setTask, tasksOf } from "./models";

function type(name: string, task: string, inputs: string[]): NodeType {
  const ports = inputs.map((one) => ({ name: one, type: "text" }));
  return { type: name, task, title: name, description: "", category: "", tags: [], inputs: ports, outputs: [] };
}

const TYPES = [
  type("model:one", "text_to_image", ["prompt", "steps"]),
  type("model:one", "image_to_image", ["prompt", "steps", "image"]),
  type("model:two", "text_to_image", ["prompt", "steps"]),
  type("model:words", "chat", ["prompt", "system"]),
];

function doc(of: string, inputs: Record<string, string>): Doc {
  return { ...EMPTY_DOCUMENT, nodes: { a: { type: of, inputs } } };
}

const PAINTED = { prompt: "a star", steps: "4" };

function names(of: string, inputs: Record<string, string>): string[] {
  return modelsFor({ type: of, inputs }, TYPES).map((one) => one.type);
}

describe("the model of a node", () => {
  it("may be any that does the same task", () => {
    expect(names("model:two", PAINTED)).toEqual(["model:one", "model:two"]);
    expect(names("model:words", {})).toEqual(["model:words"]);
  });

  it("may be any that takes what the node is given, where its own is not here", () => {
    expect(names("model:gone", PAINTED)).toEqual(["model:one", "model:two"]);
    expect(names("model:gone", { prompt: "hello", system: "be brief" })).toEqual(["model:words"]);
  });

  it("is changed, with its task where the other one does several", () => {
    expect(nodeOf(setModel("a", "model:one", TYPES)(doc("model:two", PAINTED)), "a")).toEqual({
      type: "model:one",
      task: "text_to_image",
      inputs: PAINTED,
    });
    const there = setModel("a", "model:one", TYPES)(doc("model:gone", PAINTED));
    expect(nodeOf(there, "a")?.task).toBe("text_to_image");
    expect(nodeOf(setModel("a", "model:two", TYPES)(there), "a")).toEqual({ type: "model:two", inputs: PAINTED });
  });

  it("does the task that is chosen among its own", () => {
    const asked = setTask("a", "image_to_image")(doc("model:one", PAINTED));
    expect(nodeOf(asked, "a")?.task).toBe("image_to_image");
    expect(tasksOf({ type: "model:one" }, TYPES).map((one) => one.task)).toEqual(["text_to_image", "image_to_image"]);
  });
});
