/** The past run that the canvas's address names (`?run=`): it is there again after a reload, and gone after Back. */
import { useEffect } from "react";
import { useSearchParams } from "wouter";

import { asApiError } from "@/api/errors";
import { readRun } from "@/api/runs";
import { toast } from "@/ui/toast";

import { lookAt, lookAway } from "./looking";
import { useWorkflowRun } from "./state";

export function pathOfPast(workflow: string, run: string): string {
  return `/w/${encodeURIComponent(workflow)}?run=${encodeURIComponent(run)}`;
}

export function usePastRun(): void {
  const [search] = useSearchParams();
  const wanted = search.get("run");
  useEffect(() => {
    const shown = useWorkflowRun.getState().past?.run.id ?? null;
    if (wanted === shown) return;
    if (wanted === null) {
      lookAway();
      return;
    }
    let isLeft = false;
    const look = async () => {
      const run = await readRun(wanted);
      if (!isLeft) await lookAt(run);
    };
    look().catch((thrown: unknown) => {
      if (!isLeft) toast(asApiError(thrown).message, "bad");
    });
    return () => {
      isLeft = true;
    };
  }, [wanted]);
}
