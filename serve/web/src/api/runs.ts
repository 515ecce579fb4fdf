/** Reading runs and their steps, and what their times say. */
import { api, unwrap } from "./client";
import type { Run, Step } from "./types";

const STEPS_OF_A_PAGE = 500;

/** Raises ApiError. */
export async function readRun(id: string): Promise<Run> {
  return unwrap(api.GET("/v1/runs/{run_id}", { params: { path: { run_id: id } } }));
}

/** All steps of a run, page by page. Raises ApiError. */
export async function readSteps(id: string): Promise<Step[]> {
  const found: Step[] = [];
  for (;;) {
    const query = { limit: STEPS_OF_A_PAGE, after: found.at(-1)?.label ?? "" };
    const page = await unwrap(api.GET("/v1/runs/{run_id}/steps", { params: { path: { run_id: id }, query } }));
    found.push(...page.data);
    if (!page.has_more || page.data.length === 0) return found;
  }
}

/** Whether it goes on. */
export function isLive(run: Pick<Run, "status">): boolean {
  return run.status === "queued" || run.status === "running";
}

/** Seconds from start to end, or to `now` for one that goes on; null for one that has not begun, or is not told of. */
export function tookSeconds(run: Pick<Run, "started_at" | "finished_at">, now: number | null = null): number | null {
  const end = run.finished_at === null ? now : Date.parse(run.finished_at);
  if (run.started_at === null || end === null) return null;
  return Math.max(0, (end - Date.parse(run.started_at)) / 1000);
}
