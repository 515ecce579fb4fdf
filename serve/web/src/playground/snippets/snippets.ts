/** The form's call as programs: whole, and runnable as they stand with a key in SLIPWAY_API_KEY. */
import type { Card, Task } from "@/api/types";
import type { FormField, Values } from "@/schema-form/fields";
import { changedOf } from "@/schema-form/values";

import { type RunBody, runBody } from "../requests";
import { curl } from "./curl";
import { javascript } from "./javascript";
import { httpx } from "./httpx";
import { openai } from "./openai";

export type Language = "curl" | "python-openai" | "python-httpx" | "javascript";
export type Way = "sync" | "async" | "stream";

export const LANGUAGES: Language[] = ["curl", "python-openai", "python-httpx", "javascript"];
export const WAYS: Way[] = ["sync", "async", "stream"];

/** A call to be written down: `origin` is where the platform is, `body` what its runs route takes. */
export interface Call {
  origin: string;
  model: string;
  task: Task;
  body: RunBody;
}

const WRITERS: Record<Language, (call: Call, way: Way) => string> = {
  curl,
  "python-openai": openai,
  "python-httpx": httpx,
  javascript,
};

/** What the form says, without what is the default anyway. */
export function callOf(origin: string, card: Card, task: Task, fields: FormField[], values: Values): Call {
  const whole = runBody(card, task, fields, values);
  const told = { ...changedOf(fields, values) };
  // A size is both sides, and OpenAI's route has another strength by default once there is a mask.
  const together = "width" in told || "height" in told ? ["width", "height"] : [];
  for (const name of [...together, ...(task === "image_to_image" ? ["strength"] : [])]) {
    const value = whole.input[name];
    if (value !== undefined) told[name] = value;
  }
  return { origin, model: card.name, task, body: { ...whole, input: told } };
}

export function snippet(call: Call, language: Language, way: Way): string {
  // Only who listens on the way sees unfinished pictures.
  const { previews, ...input } = call.body.input;
  const listens = way === "stream" && previews !== undefined;
  return WRITERS[language](listens ? call : { ...call, body: { ...call.body, input } }, way);
}
