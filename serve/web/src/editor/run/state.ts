/**
 * The run that the editor shows: one at a time, of the workflow that is open. Node cards read `useNodeState(name)` and
 * `useNodePlan(name)`; whoever starts, follows and stops runs is in `running.ts`.
 */
import { create } from "zustand";

import type { RunEvent } from "@/api/run-events";
import type { ApiError } from "@/api/errors";
import { whenOwnerLeaves } from "@/api/owner";
import type { Json, Run, Schemas, Step, WorkflowSpec } from "@/api/types";

import { folded, foldedSteps, IDLE, isEnded, NO_STATES, type NodeState, type RunStates } from "./node-states";

export type { NodeError, NodeState, NodeStatus } from "./node-states";
export type Plan = Schemas["WorkflowPlanView"];
export type NodePlan = Schemas["NodePlanView"];
export type RunPhase = "none" | "starting" | "queued" | "running" | "succeeded" | "failed" | "canceled";

/** A past run on the canvas, with the document that it ran; nothing can be changed meanwhile. */
export interface PastRun {
  run: Run;
  document: WorkflowSpec | null;
}

export interface RunStore {
  workflow: string | null;
  runId: string | null;
  run: Run | null;
  phase: RunPhase;
  /** Why it could not be started or followed; of a run that failed, `run.error` says it. */
  error: ApiError | null;
  states: RunStates;
  /** What the workflow's inputs are given, here and in the App tab. Kept for the tab's life, not beyond. */
  values: Record<string, Json>;
  plan: Plan | null;
  planError: ApiError | null;
  isPlanning: boolean;
  past: PastRun | null;
  open: (workflow: string) => void;
  setValue: (name: string, value: Json) => void;
  setValues: (values: Record<string, Json>) => void;
  began: (run: Run) => void;
  heard: (event: RunEvent) => void;
  learned: (steps: readonly Step[], run?: Run) => void;
  failed: (error: ApiError | null) => void;
  starting: () => void;
  planned: (plan: Plan | null, error: ApiError | null) => void;
  planning: () => void;
  look: (past: PastRun | null) => void;
}

const NOTHING = {
  runId: null,
  run: null,
  phase: "none" as RunPhase,
  error: null,
  states: NO_STATES,
  values: {},
  plan: null,
  planError: null,
  isPlanning: false,
  past: null,
};

export const useWorkflowRun = create<RunStore>()((set, get) => ({
  workflow: null,
  ...NOTHING,
  open: (workflow) => {
    if (get().workflow !== workflow) set({ workflow, ...NOTHING, values: keptValues(workflow) });
  },
  setValue: (name, value) => {
    const { [name]: _, ...others } = get().values;
    get().setValues(value === null ? others : { ...others, [name]: value });
  },
  setValues: (values) => {
    const { workflow } = get();
    if (workflow !== null) keepValues(workflow, values);
    set({ values });
  },
  starting: () => {
    set({ phase: "starting", error: null, states: NO_STATES, runId: null, run: null, past: null });
  },
  began: (run) => {
    set({ runId: run.id, run, phase: phaseOf(run), error: null, states: NO_STATES });
  },
  heard: (event) => {
    const states = folded(get().states, event);
    set({ states, phase: phaseAfter(get().phase, event) });
  },
  learned: (steps, run) => {
    const states = foldedSteps(get().states, steps);
    set(run ? { states, run, phase: phaseOf(run) } : { states });
  },
  failed: (error) => {
    const { phase } = get();
    // A run that cannot be followed may go on; here it is over, so that another can be begun.
    set({ error, phase: isUnderWay(phase) ? "none" : phase });
  },
  planning: () => {
    set({ isPlanning: true });
  },
  planned: (plan, planError) => {
    set({ plan, planError, isPlanning: false });
  },
  look: (past) => {
    set({ past });
  },
}));

whenOwnerLeaves(() => {
  useWorkflowRun.setState({ workflow: null, ...NOTHING });
});

function placeOf(workflow: string): string {
  return `slipway.values.${workflow}`;
}

function keptValues(workflow: string): Record<string, Json> {
  try {
    return JSON.parse(sessionStorage.getItem(placeOf(workflow)) ?? "{}") as Record<string, Json>;
  } catch {
    return {};
  }
}

function keepValues(workflow: string, values: Record<string, Json>): void {
  try {
    sessionStorage.setItem(placeOf(workflow), JSON.stringify(values));
  } catch {
    // A picture as a data: address may be more than the browser keeps; the values are in memory all the same.
  }
}

function phaseOf(run: Run): RunPhase {
  return run.status;
}

function phaseAfter(phase: RunPhase, { kind }: RunEvent): RunPhase {
  if (kind === "queued" || kind === "succeeded" || kind === "failed" || kind === "canceled") return kind;
  if (kind === "started" || kind === "step" || kind === "progress") return "running";
  return phase;
}

/** Whether a run is on its way: Run is not pressed twice. */
export function isUnderWay(phase: RunPhase): boolean {
  return phase === "starting" || phase === "queued" || phase === "running";
}

/** What the shown run says of the node; `idle` without one. Changes only when this node's state does. */
export function useNodeState(name: string): NodeState {
  return useWorkflowRun((store) => store.states.nodes[name] ?? IDLE);
}

/** What the next run would do at the node. Null while it is not known, and for nodes that it does not need. */
export function useNodePlan(name: string): NodePlan | null {
  return useWorkflowRun((store) => (store.plan && plannedOf(store.plan).get(name)) ?? null);
}

export type NextAct = NodePlan["status"] | "leftOut";

/** The same in a word, with the nodes that no output needs; null while the plan is not known. */
export function useNextAct(name: string): NextAct | null {
  return useWorkflowRun((store) => store.plan && (plannedOf(store.plan).get(name)?.status ?? "leftOut"));
}

const planned = new WeakMap<Plan, ReadonlyMap<string, NodePlan>>();

/** Every card asks: looked up once for each plan. */
function plannedOf(plan: Plan): ReadonlyMap<string, NodePlan> {
  const known = planned.get(plan) ?? new Map(plan.nodes.map((one) => [one.node, one]));
  planned.set(plan, known);
  return known;
}

/** Whether what the node shows is of an earlier state of the workflow: a run would make it anew. */
export function useIsStale(name: string): boolean {
  return useWorkflowRun((store) => {
    if (store.past !== null || isUnderWay(store.phase)) return false;
    const state = store.states.nodes[name];
    const plan = store.plan && plannedOf(store.plan).get(name);
    return state !== undefined && isEnded(state.status) && state.outputs !== null && plan?.status === "runs";
  });
}

export function useIsPast(): boolean {
  return useWorkflowRun((store) => store.past !== null);
}
