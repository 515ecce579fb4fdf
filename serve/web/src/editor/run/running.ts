/** Starts, follows and stops the run that the editor shows. A run goes on without the page; the page finds it again. */
import { api, unwrap } from "@/api/client";
import { asApiError, isAborted } from "@/api/errors";
import { whenOwnerLeaves } from "@/api/owner";
import { followRun } from "@/api/run-events";
import { isLive, readRun, readSteps } from "@/api/runs";
import { startedRun } from "@/api/starting";
import type { Json, Run } from "@/api/types";

import { isUnderWay, useWorkflowRun } from "./state";

export interface RunOptions {
  /** Nodes to run to, in place of the outputs. */
  targets?: string[];
  /** Draws no new seeds where that run drew some: what it made is found again. */
  seedsOf?: string;
  useCache?: boolean;
  /** Which state of the workflow: `draft` unless said. */
  which?: string;
}

/** Unfinished pictures of each image, for the cards of the nodes that paint them. */
const PREVIEWS = 6;
let following: AbortController | null = null;

function placeOf(workflow: string): string {
  return `slipway.run.${workflow}`;
}

/** What a run and a plan are asked with. */
export function runBody(values: Record<string, Json>, options: RunOptions): Record<string, Json> {
  const { targets, seedsOf, useCache } = options;
  return {
    input: values,
    ...(targets && targets.length > 0 ? { targets } : {}),
    ...(seedsOf === undefined ? {} : { seeds_of: seedsOf }),
    ...(useCache === false ? { use_cache: false } : {}),
  };
}

/** Start a run of the workflow with the values that are set, once `ready` has saved what is on the canvas. */
export async function startRun(options: RunOptions = {}, ready: () => Promise<string> = async () => ""): Promise<void> {
  const store = useWorkflowRun.getState();
  const { workflow } = store;
  if (workflow === null || isUnderWay(store.phase)) return;
  following?.abort();
  store.starting();
  try {
    const revision = await ready();
    const path = `/v1/workflows/${encodeURIComponent(workflow)}@${options.which ?? "draft"}/runs`;
    const run = await startedRun(path, { ...runBody(store.values, options), previews: PREVIEWS }, revision);
    // Another workflow may be open by now: the run goes on, and is found again where it belongs.
    if (isOpen(workflow)) await follow(run);
  } catch (thrown) {
    if (!isAborted(thrown) && isOpen(workflow)) useWorkflowRun.getState().failed(asApiError(thrown));
  }
}

function isOpen(workflow: string): boolean {
  return useWorkflowRun.getState().workflow === workflow;
}

/** Show a run from its beginning to its end, and keep it in mind for a reload. */
export async function follow(run: Run): Promise<void> {
  following?.abort();
  const mine = new AbortController();
  following = mine;
  const { workflow, began, heard, learned, failed } = useWorkflowRun.getState();
  if (workflow === null) return;
  remember(workflow, run.id);
  began(run);
  try {
    if (isLive(run))
      for await (const event of followRun(run.id, mine.signal)) {
        if (mine.signal.aborted) return;
        heard(event);
      }
    const [steps, ended] = await Promise.all([readSteps(run.id), readRun(run.id)]);
    if (!mine.signal.aborted) learned(steps, ended);
  } catch (thrown) {
    if (!mine.signal.aborted) failed(asApiError(thrown));
  }
}

function remember(workflow: string, id: string): void {
  try {
    sessionStorage.setItem(placeOf(workflow), id);
  } catch {
    // A full storage takes nothing away from the run.
  }
}

/** After a reload: the run that was shown, or the newest one of the workflow that is under way. */
export async function resume(workflow: string): Promise<void> {
  useWorkflowRun.getState().open(workflow);
  const { run, phase } = useWorkflowRun.getState();
  if (run !== null) {
    if (isUnderWay(phase)) await follow(run);
    return;
  }
  try {
    const found = (await remembered(workflow)) ?? (await underWay(workflow));
    const now = useWorkflowRun.getState();
    if (found !== null && now.workflow === workflow && now.phase === "none") await follow(found);
  } catch {
    // Nothing to show is what the canvas begins with anyway; whatever is wrong, the plan will tell.
  }
}

async function remembered(workflow: string): Promise<Run | null> {
  const id = sessionStorage.getItem(placeOf(workflow));
  if (id === null) return null;
  try {
    return await readRun(id);
  } catch (thrown) {
    if (asApiError(thrown).status === 404) sessionStorage.removeItem(placeOf(workflow));
    return null;
  }
}

async function underWay(workflow: string): Promise<Run | null> {
  for (const status of ["running", "queued"] as const) {
    const page = await unwrap(api.GET("/v1/runs", { params: { query: { workflow, status, limit: 1 } } }));
    if (page.data[0] !== undefined) return page.data[0];
  }
  return null;
}

/** Stop the run that is shown; its events tell when it has stopped. */
export async function cancelRun(): Promise<void> {
  const { runId } = useWorkflowRun.getState();
  if (runId === null) return;
  await unwrap(api.POST("/v1/runs/{run_id}/cancel", { params: { path: { run_id: runId } } }));
}

/** Listen no longer; the run goes on. */
export function leave(): void {
  following?.abort();
  following = null;
}

whenOwnerLeaves(leave);
