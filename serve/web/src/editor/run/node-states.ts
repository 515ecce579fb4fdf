/** Pure: what a run's events and steps say of each node of the canvas. */
import type { RunEvent } from "@/api/run-events";
import type { Json, Schemas, Step } from "@/api/types";

export type NodeStatus = "idle" | "queued" | "running" | "succeeded" | "failed" | "canceled" | "cached" | "skipped";

export interface NodeError {
  code: string;
  message: string;
  /** The input that it is about. */
  field: string | null;
}

/** What is known of a step: a node, an item of one (`gen.2`), or a part of a workflow within (`sub/gen`). */
export interface StepState {
  status: NodeStatus;
  done: number | null;
  total: number | null;
  /** A picture on the way, as a data: address. */
  preview: string | null;
  text: string;
  seconds: number | null;
  cost: Schemas["CostView"] | null;
  tries: number;
  reason: string | null;
  error: NodeError | null;
  outputs: Record<string, Json> | null;
}

/** A node of the canvas: the step itself, or all of its items together. */
export interface NodeState extends StepState {
  /** 0 to 1 by what the step has told; null where it has told nothing. */
  fraction: number | null;
  /** Of a node that is run over a list, or is a workflow: its steps, and how many of them have ended. */
  numSteps: number;
  numEnded: number;
}

export interface RunStates {
  steps: Readonly<Record<string, StepState>>;
  nodes: Readonly<Record<string, NodeState>>;
}

export const NO_STATES: RunStates = { steps: {}, nodes: {} };

const FRESH: StepState = {
  status: "queued",
  done: null,
  total: null,
  preview: null,
  text: "",
  seconds: null,
  cost: null,
  tries: 0,
  reason: null,
  error: null,
  outputs: null,
};

export const IDLE: NodeState = { ...FRESH, status: "idle", fraction: null, numSteps: 0, numEnded: 0 };

const ENDED = new Set<NodeStatus>(["succeeded", "failed", "canceled", "cached", "skipped"]);
/** Characters of a streamed text that a card may show; the whole of it is in the outputs. */
const MAX_TEXT = 20_000;

export function isEnded(status: NodeStatus): boolean {
  return ENDED.has(status);
}

/** The node on the canvas that a step's label belongs to: `gen.2` and `gen/inner` are of `gen`. */
export function nodeOf(label: string): string {
  return (label.split("/", 1)[0] ?? label).replace(/\.\d+$/, "");
}

/** The states after one more event; the same object where it says nothing of any node. */
export function folded(states: RunStates, event: RunEvent): RunStates {
  const label = labelOf(event);
  if (label === null) return event.kind === "canceled" || event.kind === "failed" ? stopped(states) : states;
  const known = states.steps[label] ?? FRESH;
  const next = stepAfter(known, event);
  return next === known ? states : withStep(states, label, next);
}

/** The states that the stored steps of a run tell: what no event has shown, as large outputs, is in them. */
export function foldedSteps(states: RunStates, steps: readonly Step[]): RunStates {
  let next = states;
  for (const step of steps) next = withStep(next, step.label, ofStored(step, next.steps[step.label]));
  return next;
}

function labelOf({ kind, data }: RunEvent): string | null {
  const label = kind === "step" ? data["label"] : data["step"];
  return typeof label === "string" ? label : null;
}

function stepAfter(known: StepState, { kind, data }: RunEvent): StepState {
  switch (kind) {
    case "step":
      return { ...known, ...ofEvent(data) };
    case "progress":
      return { ...known, status: "running", done: number(data["done"]), total: number(data["total"]) };
    case "preview":
      return { ...known, preview: `data:${String(data["media_type"])};base64,${String(data["data"])}` };
    case "output":
      return { ...known, text: (known.text + String(data["text"] ?? "")).slice(-MAX_TEXT) };
    default:
      return known;
  }
}

function ofEvent(data: Record<string, Json>): StepState {
  return {
    ...FRESH,
    status: data["status"] as NodeStatus,
    reason: typeof data["reason"] === "string" ? data["reason"] : null,
    error: errorOf(data["error"]),
    tries: number(data["tries"]) ?? 1,
    seconds: number(data["seconds"]),
    cost: (data["cost"] as Schemas["CostView"] | undefined) ?? null,
    outputs: (data["output"] as Record<string, Json> | undefined) ?? null,
  };
}

function ofStored(step: Step, known: StepState = FRESH): StepState {
  return {
    ...known,
    status: step.status,
    preview: isEnded(step.status) ? null : known.preview,
    reason: step.reason,
    error: errorOf(step.error as Json),
    tries: step.tries,
    seconds: step.seconds,
    cost: step.cost,
    outputs: (step.output as Record<string, Json> | null) ?? known.outputs,
  };
}

function errorOf(told: Json | undefined): NodeError | null {
  if (told === null || typeof told !== "object" || Array.isArray(told)) return null;
  const param = told["param"];
  return {
    code: String(told["code"] ?? ""),
    message: String(told["message"] ?? ""),
    field: typeof param === "string" && param !== "" ? fieldOf(param) : null,
  };
}

/** `inputs.prompt`, `input.prompt.0` and `prompt` are all about the port prompt. */
function fieldOf(param: string): string {
  const parts = param.split(".");
  return (parts[0] === "inputs" || parts[0] === "input" ? parts[1] : parts[0]) ?? param;
}

function number(told: Json | undefined): number | null {
  return typeof told === "number" ? told : null;
}

function withStep(states: RunStates, label: string, step: StepState): RunStates {
  const steps = { ...states.steps, [label]: step };
  const node = nodeOf(label);
  return { steps, nodes: { ...states.nodes, [node]: together(node, steps) } };
}

/** What ended without a word of its steps, as a run does whose runner gave up: none of them runs any more. */
function stopped(states: RunStates): RunStates {
  let next = states;
  for (const [label, step] of Object.entries(states.steps))
    if (!isEnded(step.status)) next = withStep(next, label, { ...step, status: "canceled", preview: null });
  return next;
}

function together(node: string, steps: Readonly<Record<string, StepState>>): NodeState {
  const own = steps[node];
  const parts = Object.entries(steps).filter(([label]) => label !== node && nodeOf(label) === node);
  if (parts.length === 0) return { ...(own ?? FRESH), fraction: fractionOf(own ?? FRESH), numSteps: 0, numEnded: 0 };
  const inner = parts.map(([, step]) => step);
  const merged = own ?? merge(inner);
  const numEnded = inner.filter((step) => isEnded(step.status)).length;
  const sum = inner.reduce((total, step) => total + (fractionOf(step) ?? 0), 0);
  const last = [...inner].reverse().find((step) => step.preview !== null);
  return {
    ...merged,
    preview: merged.preview ?? last?.preview ?? null,
    error: merged.error ?? inner.find((step) => step.error !== null)?.error ?? null,
    fraction: isEnded(merged.status) ? 1 : sum / inner.length,
    numSteps: inner.length,
    numEnded,
  };
}

/** A node that tells nothing itself is what its steps are. */
function merge(inner: StepState[]): StepState {
  const statuses = new Set(inner.map((step) => step.status));
  const order: NodeStatus[] = ["running", "failed", "queued", "canceled", "succeeded", "cached", "skipped"];
  const seconds = inner.map((step) => step.seconds).filter((one) => one !== null);
  return {
    ...FRESH,
    status: order.find((one) => statuses.has(one)) ?? "queued",
    seconds: seconds.length === 0 ? null : Math.max(...seconds),
    tries: Math.max(...inner.map((step) => step.tries)),
  };
}

function fractionOf(step: StepState): number | null {
  if (isEnded(step.status)) return 1;
  if (step.done === null || !step.total) return null;
  return Math.min(1, step.done / step.total);
}
