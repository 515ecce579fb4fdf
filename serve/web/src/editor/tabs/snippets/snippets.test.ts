import { describe, expect, it } from "vitest";

import { pythonic, quoted } from "@/snippets/literals";
import { asPart, exampleOf, isForm, requestOf } from "./request";
import { snippetOf } from "./snippets";

const ORIGIN = "http://127.0.0.1:8000";
const INPUTS = {
  properties: {
    idea: { type: "string", title: "Idea", default: 'it\'s a "sun" in the sky' },
    strength: { type: "number", minimum: 0.1 },
    seed: { type: "integer" },
  },
  required: ["strength"],
};
const OUTPUTS = {
  properties: {
    prompt: { type: ["string", "null"] },
    banner: { type: ["object", "null"], format: "image", "x-primary": true },
  },
};
const PHOTO = {
  properties: { photo: { type: "string", format: "image" }, on: { type: "boolean", default: true } },
  required: ["photo"],
};

describe("the request of the snippets", () => {
  it("has what was set, else the defaults, else an example where a value is needed", () => {
    const request = requestOf(ORIGIN, "banner", INPUTS, OUTPUTS, {});
    expect(request.values).toEqual({ idea: INPUTS.properties.idea.default, strength: 0.1 });
    expect(requestOf(ORIGIN, "banner", INPUTS, OUTPUTS, { seed: 3, strength: 1 }).values).toMatchObject({
      seed: 3,
      strength: 1,
    });
  });
  it("saves the primary output where it is a picture", () => {
    expect(requestOf(ORIGIN, "banner", INPUTS, OUTPUTS, {}).output).toEqual({
      name: "banner",
      isList: false,
      file: "banner.png",
    });
    expect(requestOf(ORIGIN, "banner", INPUTS, null, {}).output).toBeNull();
  });
  it("is a form where a picture must be given, and never has one of the page's in it", () => {
    const request = requestOf(ORIGIN, "shot", PHOTO, OUTPUTS, { photo: "asset:01a" });
    expect(isForm(request)).toBe(true);
    expect(request.files).toEqual({ photo: "picture.png" });
    expect(request.values).toEqual({ on: true });
  });
  it("gives an example that fits the schema", () => {
    expect(exampleOf("a", { enum: ["red", "blue"] })).toBe("red");
    expect(exampleOf("a", { type: "array", items: { type: "integer", minimum: 4 } })).toEqual([4]);
    expect(exampleOf("a", { type: "string", maxLength: 2, title: "Idea" })).toBe("Id");
  });
});

describe("quoting", () => {
  it("leaves nothing to the shell", () => {
    expect(quoted("it's $HOME `x`")).toBe(`'it'\\''s $HOME \`x\`'`);
  });
  it("writes JSON as Python reads it", () => {
    expect(pythonic({ a: [null, true, 1.5], b: { c: 'x"\n' } })).toBe(
      '{"a": [None, True, 1.5], "b": {"c": "x\\"\\n"}}',
    );
  });
  it("writes a part of a form as the API reads it", () => {
    expect([asPart("x"), asPart(1), asPart([1, 2])]).toEqual(["x", "1", "[1,2]"]);
  });
});

describe("the snippets", () => {
  const request = requestOf(ORIGIN, "banner@3", INPUTS, OUTPUTS, {});
  const form = requestOf(ORIGIN, "shot", PHOTO, OUTPUTS, {});
  const languages = ["curl", "python", "pythonPlain", "javascript"] as const;
  const ways = ["wait", "poll", "stream", "webhook"] as const;
  it.each(languages.flatMap((language) => ways.map((way) => [language, way] as const)))(
    "%s, %s: asks with the key of the environment, and has none in it",
    (language, way) => {
      for (const one of [request, form]) {
        const text = snippetOf(one, language, way);
        expect(text).toContain("SLIPWAY_API_KEY");
        expect(text).toContain(`/v1/workflows/${one.address}/runs`);
        expect(text).not.toContain("slw_");
        expect(text.includes("Prefer")).toBe(way === "wait");
        expect(text.includes("text/event-stream")).toBe(way === "stream");
        expect(text.includes("https://example.com/slipway")).toBe(way === "webhook");
      }
    },
  );
});
