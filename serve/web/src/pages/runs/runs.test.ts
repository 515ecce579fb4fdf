import { expect, test } from "vitest";

import { tookSeconds } from "@/api/runs";
import type { Run, Step } from "@/api/types";

import { assetsWithin, bodyOf, gist, startOf, waitedSeconds } from "./facts";
import { filtersOf, queryOf, searchOf } from "./filters";
import { barsOf } from "./gantt";
import { placeOf } from "./places";

const RUN: Run = {
  id: "run-1",
  object: "run",
  kind: "model",
  model: "shapes-sd",
  task: "text_to_image",
  workflow: null,
  status: "succeeded",
  attempt: 1,
  created_at: "2030-01-01T00:00:00.000Z",
  started_at: "2030-01-01T00:00:02.000Z",
  finished_at: "2030-01-01T00:00:05.500Z",
  input: { prompt: "a moon", seed: 7 },
  adapters: [{ id: "default/moon@sha256:1", scale: 0.5 }],
  output: null,
  usage: null,
  cost: null,
  error: null,
  request_id: "request-1",
  urls: { self: "", events: "", cancel: "", steps: null },
};
const WORKFLOW: Run = { ...RUN, kind: "workflow", model: null, task: null, workflow: "banner@3", adapters: [] };

test("filters go into the address and come back", () => {
  for (const of of ["", "models", "workflows", "model:shapes-sd", "workflow:banner"]) {
    const filters = { status: "failed" as const, of, after: "run-9" };
    expect(filtersOf(searchOf(filters))).toEqual(filters);
  }
});

test("an address that makes no sense shows everything", () => {
  expect(filtersOf("status=asleep&of=nobody")).toEqual({ status: null, of: "", after: null });
});

test("filters ask the API for what they say", () => {
  const asked = (of: string) => queryOf({ status: null, of, after: null });
  expect(asked("models")).toMatchObject({ kind: "model" });
  expect(asked("model:shapes-sd")).toMatchObject({ model: "shapes-sd" });
  expect(asked("workflow:banner")).toMatchObject({ workflow: "banner" });
  expect(asked("")).toEqual({ limit: 25 });
});

test("a run again has the input, the task and the very versions of the adapters", () => {
  expect(startOf(RUN)).toBe("/v1/models/shapes-sd/runs");
  expect(bodyOf(RUN)).toEqual({
    input: { prompt: "a moon", seed: 7 },
    task: "text_to_image",
    adapters: [{ name: "default/moon@sha256:1", scale: 0.5 }],
  });
  expect(startOf(WORKFLOW)).toBe("/v1/workflows/banner%403/runs");
  expect(bodyOf(WORKFLOW)).toEqual({ input: RUN.input });
});

test("a run is gone on with where it came from", () => {
  const place = placeOf(RUN) ?? "";
  expect(place.startsWith("/models/shapes-sd?task=text_to_image&run=run-1#with=")).toBe(true);
  expect(decodeURIComponent(place)).toContain('"adapters":[{"name":"default/moon@sha256:1","scale":0.5}]');
  expect(placeOf(WORKFLOW)).toBe(`/w/banner/runs?run=${WORKFLOW.id}`);
});

test("waiting and working are told apart, and go on with the time", () => {
  expect([waitedSeconds(RUN, 0), tookSeconds(RUN, 0)]).toEqual([2, 3.5]);
  const now = Date.parse(RUN.created_at) + 10_000;
  const queued: Run = { ...RUN, status: "queued", started_at: null, finished_at: null };
  expect([waitedSeconds(queued, now), tookSeconds(queued, now)]).toEqual([10, null]);
  expect(tookSeconds({ ...RUN, finished_at: null }, now)).toBe(8);
});

test("the gist is what a person wrote", () => {
  expect(gist({ steps: 4, prompt: "a moon" })).toBe("a moon");
  expect(gist({ messages: [{ content: "one" }, { content: [{ text: "two" }, { image_url: {} }] }] })).toBe("two ");
  expect(gist({ input: ["a", "b"] })).toBe("a, b");
  expect(gist({ photo: "asset:1", subject: "a cat" })).toBe("a cat");
  expect(gist({ n: 1 })).toBe("");
});

test("assets are found at any depth, each once, with their seeds", () => {
  const asset = (id: string) => ({ id, media_type: "image/png", width: 64, height: 64 });
  const found = assetsWithin({
    artifacts: [{ asset: asset("a"), seed: 7 }],
    more: [[{ asset: asset("b") }]],
    again: { asset: asset("a") },
  });
  expect(found.map(({ id, seed }) => [id, seed])).toEqual([
    ["a", 7],
    ["b", null],
  ]);
  expect(assetsWithin({ asset: "no asset", text: null })).toEqual([]);
});

function step(label: string, started: number | null, finished: number | null): Step {
  const moment = (ms: number | null) => (ms === null ? null : new Date(ms).toISOString());
  const status = started === null ? "cached" : finished === null ? "running" : "succeeded";
  const none = { reason: null, seconds: null, usage: null, cost: null, output: null, error: null };
  return {
    ...none,
    label,
    node: label,
    type: "op:x",
    status,
    tries: 1,
    started_at: moment(started),
    finished_at: moment(finished),
  };
}

test("bars stand in the run's own time, in the order in which they began", () => {
  const bars = barsOf([step("c", null, null), step("b", 5_000, null), step("a", 1_000, 4_000)], 9_000);
  expect(bars.map(({ label }) => label)).toEqual(["a", "b", "c"]);
  expect(bars.map(({ at }) => at)).toEqual([
    { left: 0, width: 3 / 8, afterSeconds: 0, seconds: 3 },
    { left: 0.5, width: 0.5, afterSeconds: 4, seconds: 4 },
    null,
  ]);
});
