/** The editor's run, tied to the page: found again after a reload, planned anew when the draft or a value changes. */
import { useEffect } from "react";

import { call } from "@/api/client";
import { asApiError, isAborted } from "@/api/errors";
import { useReachability } from "@/api/reachability";
import type { Json } from "@/api/types";

import { missingInputs } from "./plan-sentence";
import { leave, resume, runBody } from "./running";
import { isUnderWay, type Plan, useWorkflowRun } from "./state";
import type { CanvasDraft } from "./draft";

export { useIsPast, useIsStale, useNodePlan, useNodeState, useWorkflowRun } from "./state";

const PAUSE_MS = 350;

/** Called once by the editor's page. */
export function useRunOf(workflow: string): void {
  useEffect(() => {
    void resume(workflow);
    return leave;
  }, [workflow]);
}

/** Keeps the plan in the store: what a run of the draft, or of `which`, would do now, or why there can be none. */
export function usePlan(
  { workflow, revision, ...draft }: CanvasDraft,
  document = draft.document,
  which = "draft",
): void {
  const values = useWorkflowRun((store) => store.values);
  const isBusy = useWorkflowRun((store) => isUnderWay(store.phase));
  const inputs = document.interface?.inputs ?? [];
  // Asked again once the platform is back.
  const isAway = useReachability((store) => store.isAway);
  const isAskable = revision !== null && !isBusy && !isAway && missingInputs(inputs, values).length === 0;
  useEffect(() => {
    if (!isAskable) return;
    const mine = new AbortController();
    const timer = setTimeout(() => void ask(`${workflow}@${which}`, values, mine.signal), PAUSE_MS);
    return () => {
      clearTimeout(timer);
      mine.abort();
    };
  }, [workflow, which, revision, values, isAskable]);
}

async function ask(address: string, values: Record<string, Json>, signal: AbortSignal): Promise<void> {
  const { planning, planned } = useWorkflowRun.getState();
  planning();
  try {
    const response = await call(`/v1/workflows/${encodeURIComponent(address)}/plan`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(runBody(values, {})),
      signal,
    });
    planned((await response.json()) as Plan, null);
  } catch (thrown) {
    if (!isAborted(thrown)) planned(null, asApiError(thrown));
  }
}
