/** Looking at a past run: its document, its values, and what every node made of them. */
import { api, unwrap } from "@/api/client";
import { asApiError } from "@/api/errors";
import { isLive, readSteps } from "@/api/runs";
import type { Json, Run, WorkflowSpec } from "@/api/types";

import { foldedSteps, NO_STATES } from "./node-states";
import { follow, leave } from "./running";
import { useWorkflowRun } from "./state";

/** Put the run on the canvas. A run that is under way is followed there. Raises ApiError. */
export async function lookAt(run: Run): Promise<void> {
  const [steps, document] = await Promise.all([readSteps(run.id), documentOf(run.id)]);
  leave();
  useWorkflowRun.setState({
    run,
    runId: run.id,
    phase: run.status,
    error: null,
    states: foldedSteps(NO_STATES, steps),
    past: { run, document },
  });
  if (isLive(run)) void follow(run);
}

async function documentOf(id: string): Promise<WorkflowSpec | null> {
  try {
    const found = await unwrap(api.GET("/v1/runs/{run_id}/workflow", { params: { path: { run_id: id } } }));
    return found.workflow as unknown as WorkflowSpec;
  } catch (thrown) {
    if (asApiError(thrown).status === 404) return null;
    throw thrown;
  }
}

/** Back to the draft; what the run made stays beside the nodes that it has in common with it. */
export function lookAway(): void {
  useWorkflowRun.getState().look(null);
}

/** The values of a run, as the form of this workflow takes them; inputs that it has no more are left out. */
export function restoreValues(run: Run, names: readonly string[]): void {
  const given = Object.entries(run.input).filter(([name, value]) => names.includes(name) && value !== null);
  useWorkflowRun.getState().setValues(Object.fromEntries(given) as Record<string, Json>);
}
