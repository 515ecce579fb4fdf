import { expect, test } from "vitest";

import { formOf, nameFrom, wordsOf } from "./upload";

test("words stand between commas, each once", () => {
  expect(wordsOf(" striped, moon,, striped ")).toEqual(["striped", "moon"]);
});

test("a name comes from the file's, as the platform takes names", () => {
  expect(nameFrom("My Stripes_v2.safetensors")).toBe("my-stripes-v2");
  expect(nameFrom("--.zip")).toBe("");
  expect(nameFrom(`${"a".repeat(39)}-b.safetensors`)).toBe("a".repeat(39));
});

test("the form leaves out what is empty", () => {
  const file = new File(["x"], "w.safetensors");
  const form = formOf({ name: "w", base: "", triggerWords: ["a", "b"], defaultScale: "", files: [file] });
  expect([...form.keys()]).toEqual(["name", "trigger_words", "trigger_words", "file"]);
});
