/** A run as a page follows it: what each event makes of what was known. */
import type { ApiError } from "@/api/errors";
import type { RunEvent } from "@/api/run-events";
import type { Json, Run, RunStatus } from "@/api/types";

export type RunPhase = "idle" | "submitting" | "queued" | "running" | "done" | "failed" | "canceled";

/** A file that a run made. `seed` makes this one again. */
export interface RunOutput {
  index: number;
  name: string;
  asset: { id: string; media_type: string; width?: number | null; height?: number | null; num_bytes?: number };
  seed?: number;
}

export interface RunProgress {
  phase: string;
  done: number;
  total: number;
}

export interface Following {
  run: Run | null;
  state: RunPhase;
  progress: RunProgress | null;
  /** The latest unfinished picture of each output, as a `data:` URL. */
  previews: Record<number, string>;
  outputs: RunOutput[];
  /** The text of each choice so far. */
  texts: Record<number, string>;
  error: ApiError | null;
}

export const NOTHING: Following = {
  run: null,
  state: "idle",
  progress: null,
  previews: {},
  outputs: [],
  texts: {},
  error: null,
};

const PHASES: Record<RunStatus, RunPhase> = {
  queued: "queued",
  running: "running",
  succeeded: "done",
  failed: "failed",
  canceled: "canceled",
};

/** What is known of a run that was just read. */
export function followed(run: Run): Following {
  return { ...NOTHING, run, state: PHASES[run.status], outputs: outputsOf(run.output) };
}

/** The files of a finished run's output, in order. */
export function outputsOf(output: Run["output"] | undefined): RunOutput[] {
  const artifacts = (output as { artifacts?: RunOutput[] } | null | undefined)?.artifacts;
  return artifacts ?? [];
}

export function isOver(state: RunPhase): boolean {
  return state === "done" || state === "failed" || state === "canceled";
}

/** `known` after `event`. The run's own row is read anew when it has ended. */
export function after(known: Following, event: RunEvent): Following {
  const { data } = event;
  switch (event.kind) {
    case "queued":
      return { ...known, state: "queued", progress: null };
    case "started":
      // Another attempt begins anew: what the one before said is not part of the answer.
      return { ...known, state: "running", progress: null, previews: {}, outputs: [], texts: {} };
    case "progress":
      return { ...known, state: "running", progress: data as unknown as RunProgress };
    case "preview":
      return typeof data["step"] === "string" ? known : withPreview(known, data);
    case "output":
      return typeof data["step"] === "string" ? known : withOutput(known, data);
    case "succeeded": {
      const outputs = outputsOf(data["output"] as Run["output"]);
      return { ...known, state: "done", outputs: outputs.length > 0 ? outputs : known.outputs };
    }
    case "failed":
      return { ...known, state: "failed" };
    case "canceled":
      return { ...known, state: "canceled" };
    default:
      return known;
  }
}

function withPreview(known: Following, data: Record<string, Json>): Following {
  const { index, media_type: type, data: bytes } = data as { index: number; media_type: string; data: string };
  return { ...known, previews: { ...known.previews, [index]: `data:${type};base64,${bytes}` } };
}

function withOutput(known: Following, data: Record<string, Json>): Following {
  const index = typeof data["index"] === "number" ? data["index"] : 0;
  if (typeof data["text"] === "string")
    return { ...known, texts: { ...known.texts, [index]: (known.texts[index] ?? "") + data["text"] } };
  if (data["asset"] === undefined) return known;
  const made = data as unknown as RunOutput;
  const others = known.outputs.filter((one) => one.index !== made.index);
  return { ...known, outputs: [...others, made].sort((a, b) => a.index - b.index) };
}
