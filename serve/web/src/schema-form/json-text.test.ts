import { expect, it } from "vitest";

import { parse, takes, textOf } from "./json-text";

it("reads words without quotes where a text is taken", () => {
  expect(parse("a red star", true)).toBe("a red star");
  expect(parse("a red star", false)).toBeUndefined();
  expect(parse("12", true)).toBe(12);
  expect(parse('"12"', true)).toBe("12");
  expect(parse('{"a": ', true)).toBeUndefined();
  expect(parse("  ", true)).toBeNull();
});

it("writes a text so that it is read as the same text", () => {
  for (const value of ["a red star", "12", "true", '"', "[x", ""]) {
    const written = textOf(value, true);
    expect(parse(written, true)).toBe(value);
  }
  expect(textOf("a red star", true)).toBe("a red star");
  expect(textOf("a red star", false)).toBe('"a red star"');
  expect(textOf(null, true)).toBe("");
});

it("knows which schemas take a text", () => {
  expect(takes({}, "string")).toBe(true);
  expect(takes({ type: "object" }, "string")).toBe(false);
  expect(takes({ anyOf: [{ type: "object" }, { type: ["string", "null"] }] }, "string")).toBe(true);
});
