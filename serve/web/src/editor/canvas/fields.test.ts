import { expect, it } from "vitest";

import { placesOf } from "./fields";

it.each([
  ["inputs.prompt.0", ["prompt.0", "prompt"]],
  ["input.prompt", ["prompt"]],
  ["prompt", ["prompt"]],
  ["policy.retries", ["policy.retries", "policy", "running"]],
  ["policy.timeoutSeconds", ["policy.timeoutSeconds", "policy", "running"]],
  ["map.1", ["map.1", "map", "running"]],
  ["maxItems", ["maxItems", "running"]],
  ["when", ["when", "running"]],
  ["task", ["task", "type"]],
  ["", []],
])("%s is looked for at %j", (field, places) => {
  expect(placesOf(field)).toEqual(places);
});
