import { describe, expect, it } from "vitest";

import type { Card, InputSchema } from "@/api/types";

import { checkValues } from "./checks";
import { fieldsOfCard, fieldsOfInterface, fieldsOfPorts, fieldsOfSchema, rangeOf, widgetOf } from "./fields";
import { done, redone, undone, UNTOUCHED } from "./mask";
import { sizesAround } from "./sizes";
import { adaptersOf, changedOf, defaultsOf, givenOf } from "./values";

const steps: InputSchema = { type: "integer", minimum: 1, maximum: 100, default: 25 };
const seed: InputSchema = {
  anyOf: [{ type: "integer", minimum: 0, exclusiveMaximum: 2 ** 53 }, { type: "null" }],
  default: null,
};
const schema = {
  type: "object",
  required: ["prompt"],
  properties: {
    quality: { type: "integer", minimum: 1, maximum: 100, "x-ui": { widget: "slider", order: 9, advanced: true } },
    prompt: { type: "string", maxLength: 10, "x-ui": { widget: "textarea", order: 1 } },
    steps: { ...steps, "x-ui": { widget: "slider", order: 2 } },
    seed: { ...seed, "x-ui": { widget: "seed", order: 3 } },
  } as Record<string, InputSchema>,
};
const fields = fieldsOfSchema(schema);

function card(adapters: boolean): Card {
  return { inputs: { text_to_image: schema }, adapters: { enabled: adapters, max_per_call: 4 } } as unknown as Card;
}

describe("fields", () => {
  it("stand in the order that the API gives them", () => {
    expect(fields.map((field) => field.name)).toEqual(["prompt", "steps", "seed", "quality"]);
    expect(fields.map((field) => field.advanced)).toEqual([false, false, false, true]);
    expect(fields[0]).toMatchObject({ required: true, title: "Prompt", widget: "textarea" });
  });

  it("have the model's adapters among them only where it takes some", () => {
    expect(fieldsOfCard(card(false), "text_to_image").map((field) => field.name)).not.toContain("adapters");
    const field = fieldsOfCard(card(true), "text_to_image").find((one) => one.name === "adapters");
    expect(field).toMatchObject({ widget: "adapters", schema: { maxItems: 4 } });
  });

  it("of ports take their words from the port", () => {
    const [port] = fieldsOfPorts([{ name: "image", type: "image", title: "Picture", required: true, schema: {} }]);
    expect(port).toMatchObject({ name: "image", title: "Picture", required: true });
  });

  it("of an interface have the bounds that it gives them", () => {
    const [count] = fieldsOfInterface([
      { name: "count", type: "number", default: 2, constraints: { integer: true, minimum: 1, maximum: 4 } },
    ]);
    expect(count).toMatchObject({ required: false, widget: "slider", schema: { type: "integer", default: 2 } });
    const [pictures] = fieldsOfInterface([{ name: "pictures", type: "list[image]" }]);
    expect(pictures).toMatchObject({ required: true, schema: { items: { format: "image" } }, widget: "texts" });
  });

  it.each<[string, InputSchema, string]>([
    ["sampler", { type: "string", enum: ["a", "b"] }, "select"],
    ["image", { type: "string", format: "image" }, "image"],
    ["mask", { type: "string", format: "mask" }, "mask"],
    ["seed", { type: "integer", minimum: 0 }, "seed"],
    ["metadata", { type: "boolean" }, "toggle"],
    ["steps", steps, "slider"],
    ["pixels", { type: "integer", minimum: 0, maximum: 4096 }, "number"],
    ["negative_prompt", { type: "string" }, "textarea"],
    ["title", { type: "string" }, "text"],
    ["stop", { type: "array", items: { type: "string" } }, "texts"],
    ["anything", {}, "json"],
  ])("without a word from the API enter %s as it is", (name, one, widget) => {
    expect(widgetOf(name, one)).toBe(widget);
  });

  it("have sliders that keep to open bounds and whole steps", () => {
    expect(rangeOf(steps)).toEqual({ minimum: 1, maximum: 100, step: 1 });
    expect(rangeOf({ type: "number", exclusiveMinimum: 0, maximum: 1 })).toEqual({
      minimum: 0.01,
      maximum: 1,
      step: 0.01,
    });
    expect(rangeOf({ type: "number", minimum: 0 })).toBeNull();
  });
});

describe("values", () => {
  it("begin with the defaults, and with nothing where there are none", () => {
    expect(defaultsOf(fields)).toEqual({ prompt: null, steps: 25, seed: null, quality: null });
  });

  it("that are empty are not sent, and defaults need not be told", () => {
    const values = { prompt: "a boat", steps: 25, seed: null, quality: 80 };
    expect(givenOf(fields, values)).toEqual({ prompt: "a boat", steps: 25, quality: 80 });
    expect(changedOf(fields, values)).toEqual({ prompt: "a boat", quality: 80 });
  });

  it("of adapters leave out what was not chosen", () => {
    expect(adaptersOf({ adapters: [{ name: "moon", scale: 0.5 }, { name: "" }] })).toEqual([
      { name: "moon", scale: 0.5 },
    ]);
  });
});

describe("checks", () => {
  it("find nothing wrong with what the schema takes", () => {
    expect(checkValues(fields, { prompt: "a boat", steps: 1, seed: 2 ** 53 - 1, quality: null })).toEqual({});
  });

  it("say what is missing and what is out of bounds", () => {
    const errors = checkValues(fields, { prompt: "", steps: 0, seed: -1, quality: 200 });
    expect(errors).toEqual({
      prompt: "This is needed.",
      steps: "At least 1.",
      seed: "At least 0.",
      quality: "At most 100.",
    });
  });

  it.each<[InputSchema, unknown, string]>([
    [steps, 1.5, "This has to be a whole number."],
    [{ type: "string", maxLength: 3 }, "long", "At most 3 characters; these are 4."],
    [{ type: "string", enum: ["a", "b"] }, "c", "One of a, b."],
    [{ type: "integer", multipleOf: 8 }, 12, "A multiple of 8."],
    [{ type: "number", exclusiveMinimum: 0 }, 0, "More than 0."],
    [{ type: "array", items: { type: "string" }, maxItems: 1 }, ["a", "b"], "At most 1 of them."],
    [{ type: "array", items: { type: "number" } }, [1, "b"], "Number 2: This has to be a number."],
  ])("hold values to %j", (one, value, told) => {
    const [field] = fieldsOfSchema({ properties: { x: one } });
    expect(checkValues(field ? [field] : [], { x: value as never })).toEqual({ x: told });
  });

  it("take decimal steps for what they are", () => {
    const [field] = fieldsOfSchema({ properties: { x: { type: "number", multipleOf: 0.1 } } });
    expect(checkValues(field ? [field] : [], { x: 0.3 })).toEqual({});
  });
});

describe("sizes", () => {
  it("keep to the bounds and to multiples of 8, each once", () => {
    const sides = { minimum: 64, maximum: 256, step: 8 };
    const sizes = sizesAround(128, sides, sides);
    expect(sizes[0]).toEqual({ width: 128, height: 128 });
    for (const { width, height } of sizes) {
      expect([width % 8, height % 8]).toEqual([0, 0]);
      expect(Math.max(width, height)).toBeLessThanOrEqual(256);
    }
    expect(new Set(sizes.map(({ width, height }) => `${String(width)}x${String(height)}`)).size).toBe(sizes.length);
  });

  it("of large models are those that they were trained on", () => {
    const sides = { minimum: 64, maximum: 2048, step: 8 };
    expect(sizesAround(1024, sides, sides)).toContainEqual({ width: 1344, height: 768 });
  });
});

describe("masks", () => {
  it("are undone and redone act by act; a new act forgets what was undone", () => {
    const painted = done(done(UNTOUCHED, { kind: "invert" }), { kind: "clear" });
    expect(undone(painted).past).toEqual([{ kind: "invert" }]);
    expect(redone(undone(painted))).toEqual(painted);
    expect(done(undone(painted), { kind: "invert" }).future).toEqual([]);
    expect(undone(UNTOUCHED)).toEqual(UNTOUCHED);
  });
});
