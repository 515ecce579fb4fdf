import { describe, expect, it } from "vitest";

import type { Card, Run } from "@/api/types";
import { fieldsOfCard } from "@/schema-form/fields";

import { keep, kept } from "./history";
import { beginningOf, fieldOfParam, runBody, valuesOfRun } from "./requests";
import { after, followed, NOTHING } from "./run-state";
import { accepted, fragmentOf, sharedIn } from "./sharing";
import { callOf, LANGUAGES, snippet, WAYS } from "./snippets/snippets";
import { workflowOf } from "./workflow";

const side = { type: "integer", minimum: 64, maximum: 256, multipleOf: 8, default: 128 };
const card = {
  name: "shapes-sd",
  title: "Shapes",
  tasks: ["text_to_image", "image_to_image"],
  adapters: { enabled: true, max_per_call: 2 },
  inputs: {
    text_to_image: {
      required: ["prompt"],
      properties: {
        prompt: { type: "string" },
        steps: { type: "integer", minimum: 1, maximum: 100, default: 25 },
        seed: { anyOf: [{ type: "integer", minimum: 0 }, { type: "null" }], default: null },
        num_images: { type: "integer", minimum: 1, maximum: 8, default: 1 },
        previews: { type: "integer", minimum: 0, maximum: 8, default: 0 },
        metadata: { type: "boolean", default: true },
        width: side,
        height: side,
      },
    },
    image_to_image: {
      required: ["prompt", "image"],
      properties: {
        prompt: { type: "string" },
        image: { type: "string", format: "image" },
        strength: { type: "number", exclusiveMinimum: 0, maximum: 1, default: 0.75 },
      },
    },
  },
} as unknown as Card;
const fields = fieldsOfCard(card, "text_to_image");
const imageFields = fieldsOfCard(card, "image_to_image");
const PIXEL = "data:image/png;base64,AAAA";

describe("the body of a run", () => {
  it("holds what was given, the adapters beside it, and the task where it is not the first", () => {
    const values = { ...beginningOf(fields), prompt: "a boat", adapters: [{ name: "moon", scale: 0.5 }] };
    const body = runBody(card, "text_to_image", fields, values);
    expect(body.task).toBeUndefined();
    expect(body.adapters).toEqual([{ name: "moon", scale: 0.5 }]);
    expect(body.input).toMatchObject({ prompt: "a boat", steps: 25, previews: 4 });
    expect(body.input).not.toHaveProperty("seed");
    expect(body.input).not.toHaveProperty("adapters");
    expect(runBody(card, "image_to_image", imageFields, { prompt: "a", image: PIXEL }).task).toBe("image_to_image");
  });

  it("comes back into the form whole, with the seed that was drawn and adapters by their addresses", () => {
    const run = { input: { prompt: "a", steps: 9, seed: 7 }, adapters: [{ id: "default/moon@sha256:1", scale: 0.5 }] };
    const known = [{ id: "default/moon@sha256:1", address: "moon" }];
    const values = valuesOfRun(run as unknown as Run, fields, known as never);
    expect(values).toMatchObject({
      prompt: "a",
      steps: 9,
      seed: 7,
      width: 128,
      adapters: [{ name: "moon", scale: 0.5 }],
    });
  });

  it("is refused at the field that the API names", () => {
    expect(fieldOfParam("input.steps", fields)).toBe("steps");
    expect(fieldOfParam("adapters.0.name", fields)).toBe("adapters.0.name");
    expect(fieldOfParam("input.unknown", fields)).toBeNull();
    expect(fieldOfParam(null, fields)).toBeNull();
  });
});

describe("a link", () => {
  it("carries what differs from the defaults, and back", () => {
    const values = { ...beginningOf(fields), prompt: "50 % of ünïcode & #", steps: 9 };
    const shared = sharedIn(fragmentOf("text_to_image", fields, values));
    expect(shared).toEqual({ task: "text_to_image", values: { prompt: "50 % of ünïcode & #", steps: 9, previews: 4 } });
  });

  it("never carries a picture, and none is taken from one", () => {
    expect(fragmentOf("image_to_image", imageFields, { prompt: "a", image: PIXEL })).not.toContain("base64");
    expect(accepted(imageFields, { prompt: "a", image: "https://elsewhere.example/x.png" })).toEqual({ prompt: "a" });
  });

  it("gives the form nothing that its fields do not take", () => {
    const values = { prompt: 7, steps: 1000, num_images: 2, unknown: "x", adapters: [{ name: 1 }] };
    expect(accepted(fields, values as never)).toEqual({ num_images: 2 });
  });

  it.each(["", "#with=", "#with=%", "#with=null", "#with=%7B%22task%22%3A1%7D"])(
    "that is broken (%s) is none",
    (text) => {
      expect(sharedIn(text)).toBeNull();
    },
  );
});

describe("a run that is followed", () => {
  const event = (kind: string, data: unknown) => ({ kind, data: data as never, id: null });

  it("goes from waiting to its pictures", () => {
    let known = followed({ status: "queued", output: null } as Run);
    known = after(known, event("started", { attempt: 1 }));
    known = after(known, event("progress", { phase: "denoising", done: 3, total: 20 }));
    known = after(known, event("preview", { index: 1, media_type: "image/jpeg", data: "AA" }));
    expect(known).toMatchObject({
      state: "running",
      progress: { done: 3 },
      previews: { 1: "data:image/jpeg;base64,AA" },
    });
    known = after(known, event("output", { index: 1, name: "b", asset: { id: "2" } }));
    known = after(known, event("output", { index: 0, name: "a", asset: { id: "1" } }));
    expect(known.outputs.map((one) => one.asset.id)).toEqual(["1", "2"]);
    const artifacts = [{ index: 0, name: "a", asset: { id: "1" }, seed: 7 }];
    known = after(known, event("succeeded", { output: { artifacts } }));
    expect(known).toMatchObject({ state: "done", outputs: [{ seed: 7 }] });
  });

  it("begins anew with another attempt, and gathers text as it comes", () => {
    let known = after(NOTHING, event("output", { index: 0, text: "Hel" }));
    known = after(known, event("output", { index: 0, text: "lo" }));
    expect(known.texts).toEqual({ 0: "Hello" });
    expect(after(known, event("started", { attempt: 2 })).texts).toEqual({});
  });
});

describe("the history of this browser", () => {
  it("keeps each run once, the newest first, without the bytes of pictures", () => {
    const held = new Map<string, string>();
    const storage = {
      getItem: (key: string) => held.get(key) ?? null,
      setItem: (key: string, text: string) => held.set(key, text),
    };
    const run = (id: string, at: string, status: string) =>
      ({ id, created_at: at, status, input: { prompt: "a", image: PIXEL } }) as unknown as Run;
    keep(storage, "m", run("1", "2030-01-01", "queued"));
    keep(storage, "m", run("2", "2030-01-02", "queued"));
    keep(storage, "m", run("1", "2030-01-01", "succeeded"));
    expect(kept(storage, "m").map(({ id, status }) => [id, status])).toEqual([
      ["2", "queued"],
      ["1", "succeeded"],
    ]);
    expect(held.get("slipway.playground.runs.m")).not.toContain("base64");
    expect(kept(storage, "other")).toEqual([]);
  });
});

describe("snippets", () => {
  const values = { ...beginningOf(fields), prompt: `it's a "boat"`, num_images: 2, metadata: false };
  const call = callOf("http://127.0.0.1:8000", card, "text_to_image", fields, values);
  const all = LANGUAGES.flatMap((language) => WAYS.map((way) => [language, way] as const));

  it.each(all)("in %s (%s) name the platform, the model and the key's variable, and no key", (language, way) => {
    const text = snippet(call, language, way);
    expect(text).toContain("http://127.0.0.1:8000");
    expect(text).toContain("shapes-sd");
    expect(text).toContain("SLIPWAY_API_KEY");
    expect(text).not.toContain("slw_");
    expect(text).not.toContain("undefined");
  });

  it("quote what people write as each language does", () => {
    expect(snippet(call, "curl", "sync")).toContain(`"prompt":"it'\\''s a \\"boat\\""`);
    expect(snippet(call, "python-httpx", "sync")).toContain(`"prompt": "it's a \\"boat\\""`);
    expect(snippet(call, "python-httpx", "sync")).toContain(`"metadata": False`);
    expect(snippet(call, "python-openai", "sync")).toContain("n=2");
  });

  it("give both sides of a size where one was changed", () => {
    const wide = callOf("http://x", card, "text_to_image", fields, { ...values, width: 192 });
    expect(snippet(wide, "python-openai", "sync")).toContain('size="192x128"');
  });

  it("read pictures of the page from files", () => {
    const edit = callOf("http://x", card, "image_to_image", imageFields, { prompt: "a", image: PIXEL });
    expect(snippet(edit, "python-openai", "sync")).toContain('image=open("image.png", "rb")');
    expect(snippet(edit, "python-httpx", "sync")).toContain('"image": picture("image.png")');
    expect(snippet(edit, "javascript", "sync")).toContain('"image": await picture("image.png")');
    expect(snippet(edit, "curl", "sync")).toContain("$(base64 < image.png | tr -d '\\n')");
    for (const language of LANGUAGES) expect(snippet(edit, language, "sync")).not.toContain("AAAA");
  });

  it("make no program of what a link says", () => {
    const hostile = { prompt: "\u0000x.png | touch /tmp/owned", "'; touch /tmp/owned '": PIXEL };
    const edit = { origin: "http://x", model: "m", task: "image_to_image" as const, body: { input: hostile } };
    const shell = snippet(edit, "curl", "sync");
    expect(shell).toContain(`"\\u0000x.png | touch /tmp/owned"`);
    expect(shell).toContain(`$(base64 < ''\\''; touch /tmp/owned '\\''.png' |`);
    expect(snippet(edit, "javascript", "sync")).toContain(`"\\u0000x.png | touch /tmp/owned"`);
  });

  it("fetch a stored picture where a form wants a file", () => {
    const edit = callOf("http://x", card, "image_to_image", imageFields, { prompt: "a", image: "asset:1" });
    expect(snippet(edit, "python-openai", "sync")).toContain('client.get("/assets/1/content"');
    expect(snippet(edit, "curl", "sync")).toContain('"image":"asset:1"');
  });
});

describe("a workflow that begins here", () => {
  it("has one node with the values that differ, and its pictures as output", () => {
    const values = { ...beginningOf(fields), prompt: "a boat" };
    const { spec } = workflowOf("shapes-sd", card, "text_to_image", fields, values);
    expect(spec.nodes).toEqual({
      paint: { type: "model:shapes-sd", task: "text_to_image", inputs: { prompt: "a boat" } },
    });
  });
});
