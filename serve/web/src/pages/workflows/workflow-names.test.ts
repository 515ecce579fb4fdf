import { describe, expect, it } from "vitest";

import { freshName, isName, nameOf } from "./workflow-names";

describe("names of workflows", () => {
  it.each([
    ["My castle (2).png", "my-castle-2"],
    ["Prompt to banner", "prompt-to-banner"],
    ["Überschrift!.yaml", "uberschrift"],
    ["123", "workflow"],
    ["--", "workflow"],
    ["x".repeat(60), "x".repeat(36)],
  ])("%s becomes %s", (text, name) => {
    expect(nameOf(text)).toBe(name);
    expect(isName(nameOf(text))).toBe(true);
  });
  it("are fresh", () => {
    expect(freshName("a", new Set(["b"]))).toBe("a");
    expect(freshName("a", new Set(["a", "a-2"]))).toBe("a-3");
    expect(isName(freshName("x".repeat(40), new Set(["x".repeat(40)])))).toBe(true);
  });
  it.each(["a", "a1", "a-b", "x".repeat(40)])("%s is one", (name) => {
    expect(isName(name)).toBe(true);
  });
  it.each(["", "1a", "A", "a_b", "a-", "-a", "x".repeat(41)])("%s is none", (name) => {
    expect(isName(name)).toBe(false);
  });
});
