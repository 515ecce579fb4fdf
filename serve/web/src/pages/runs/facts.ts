/** What there is to say of a run, read from the API's answer. */
import type { Json, Run, Schemas } from "@/api/types";
import type { Tone } from "@/ui/words";

export type AnyStatus = Schemas["RunStatus"] | Schemas["StepStatus"];

const TONES: Record<AnyStatus, Tone> = {
  queued: "plain",
  running: "info",
  succeeded: "ok",
  failed: "bad",
  canceled: "warn",
  cached: "ok",
  skipped: "plain",
};

export function toneOf(status: AnyStatus): Tone {
  return TONES[status];
}

export function nameOf(run: Run): string {
  return run.model ?? run.workflow ?? run.id;
}

/** Seconds in the queue; of one that was canceled there, all its life. */
export function waitedSeconds(run: Run, now: number): number {
  const end = run.started_at ?? run.finished_at;
  return Math.max(0, ((end === null ? now : Date.parse(end)) - Date.parse(run.created_at)) / 1000);
}

/** The words that a person would know the run by: its prompt, its last message, its first text. */
export function gist(input: Record<string, unknown>): string {
  if (typeof input["prompt"] === "string") return input["prompt"];
  if (Array.isArray(input["messages"])) return lastMessage(input["messages"]);
  if (typeof input["input"] === "string") return input["input"];
  if (Array.isArray(input["input"])) return input["input"].filter((one) => typeof one === "string").join(", ");
  const first = Object.values(input).find((value) => typeof value === "string" && !value.startsWith("asset:"));
  return typeof first === "string" ? first : "";
}

function lastMessage(messages: unknown[]): string {
  const last = messages.at(-1) as { content?: unknown } | undefined;
  if (typeof last?.content === "string") return last.content;
  if (!Array.isArray(last?.content)) return "";
  return last.content.map((part: { text?: unknown }) => (typeof part.text === "string" ? part.text : "")).join(" ");
}

export interface MadeAsset {
  id: string;
  mediaType: string;
  width: number | null;
  height: number | null;
  name: string | null;
  seed: number | null;
}

/** The assets within `value` at any depth, in its order, each once. */
export function assetsWithin(value: unknown): MadeAsset[] {
  const found = new Map<string, MadeAsset>();
  collect(value, null, found);
  return [...found.values()];
}

function collect(value: unknown, seed: number | null, found: Map<string, MadeAsset>): void {
  if (Array.isArray(value)) {
    for (const one of value) collect(one, null, found);
    return;
  }
  if (typeof value !== "object" || value === null) return;
  const known = value as Record<string, unknown>;
  const asset = known["asset"] as Record<string, unknown> | undefined;
  if (typeof asset?.["id"] === "string") {
    const own = typeof known["seed"] === "number" ? known["seed"] : seed;
    if (!found.has(asset["id"])) found.set(asset["id"], made(asset["id"], asset, own));
    return;
  }
  for (const one of Object.values(known)) collect(one, null, found);
}

function made(id: string, asset: Record<string, unknown>, seed: number | null): MadeAsset {
  return {
    id,
    mediaType: text(asset["media_type"]) ?? "application/octet-stream",
    width: number(asset["width"]),
    height: number(asset["height"]),
    name: text(asset["name"]),
    seed,
  };
}

function text(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}

function number(value: unknown): number | null {
  return typeof value === "number" ? value : null;
}

export function isPicture(asset: MadeAsset): boolean {
  return asset.mediaType.startsWith("image/") && asset.mediaType !== "image/svg+xml";
}

/** The body that starts the same again: the input is stored with its defaults and its seed. */
export function bodyOf(run: Run): Record<string, Json> {
  const body: Record<string, Json> = { input: run.input as Json };
  if (run.kind === "workflow") return body;
  if (run.task !== null) body["task"] = run.task;
  if (run.adapters.length > 0) body["adapters"] = run.adapters.map(({ id, scale }) => ({ name: id, scale }));
  return body;
}

/** The route that starts runs like this one. */
export function startOf(run: Run): string {
  return run.kind === "workflow"
    ? `/v1/workflows/${encodeURIComponent(run.workflow ?? "")}/runs`
    : `/v1/models/${encodeURIComponent(run.model ?? "")}/runs`;
}
