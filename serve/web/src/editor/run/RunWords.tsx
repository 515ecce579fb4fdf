/** The sentence of the bar: the plan, or how far the run is, and what the last one took and cost. */
import { tookSeconds } from "@/api/runs";
import type { Schemas } from "@/api/types";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { Progress } from "@/ui/progress";
import { duration, money } from "@/ui/quantities";
import { StateWord, type Tone } from "@/ui/words";

import type { CanvasDraft } from "./draft";
import { isEnded } from "./node-states";
import { planSentence } from "./plan-sentence";
import { problemsOf } from "./problems";
import { isUnderWay, type RunPhase, type RunStore, useWorkflowRun } from "./state";

interface RunWordsProps {
  draft: CanvasDraft;
  missing: Schemas["WorkflowInput"][];
  onDetails: () => void;
}

const TONES: Record<RunPhase, Tone> = {
  none: "plain",
  starting: "info",
  queued: "info",
  running: "info",
  succeeded: "ok",
  failed: "bad",
  canceled: "warn",
};

export function RunWords({ draft, missing, onDetails }: RunWordsProps) {
  const phase = useWorkflowRun((store) => store.phase);
  return (
    <div aria-live="polite" className="flex min-w-0 flex-1 flex-col">
      {phase !== "none" && <RunLine />}
      <StartError />
      {!isUnderWay(phase) && <PlanLine draft={draft} missing={missing} onDetails={onDetails} />}
    </div>
  );
}

/** How far the shown run is, or how it ended. */
export function RunLine() {
  const { phase, run, states } = useWorkflowRun();
  const planned = useWorkflowRun((store) => store.plan?.nodes.length ?? 0);
  const nodes = Object.values(states.nodes);
  const done = nodes.filter((node) => isEnded(node.status)).length;
  const total = Math.max(planned, nodes.length);
  const parts = nodes.reduce((sum, node) => sum + (isEnded(node.status) ? 1 : (node.fraction ?? 0)), 0);
  return (
    <div className="flex min-w-0 flex-col gap-1">
      <div className="flex min-w-0 flex-wrap items-baseline gap-x-2">
        <StateWord tone={TONES[phase]}>{wordOf(phase, done, total)}</StateWord>
        {!isUnderWay(phase) && run !== null && <span className="text-sm text-muted">{accountOf(run)}</span>}
      </div>
      {isUnderWay(phase) && (
        <Progress label={strings.workflowRun.runningSome} fraction={total === 0 ? null : parts / total} />
      )}
      {phase === "failed" && run?.error != null && <p className="text-sm text-bad">{run.error.message}</p>}
    </div>
  );
}

function wordOf(phase: RunPhase, done: number, total: number): string {
  const words = strings.workflowRun;
  if (phase === "running") return total === 0 ? words.runningSome : words.running(done, total);
  return phase === "none" ? "" : words[phase];
}

function accountOf(run: NonNullable<RunStore["run"]>): string {
  const words = strings.workflowRun;
  const parts: string[] = [];
  const seconds = tookSeconds(run);
  if (seconds !== null) parts.push(words.took(duration(seconds)));
  parts.push(run.cost === null ? words.costUnknown : words.cost(money(run.cost)));
  return parts.join(", ");
}

function StartError() {
  const error = useWorkflowRun((store) => store.error);
  if (error === null || problemsOf(error).length > 0) return null;
  return (
    <p role="alert" className="text-sm text-bad">
      {error.message}
    </p>
  );
}

function PlanLine({ draft, missing, onDetails }: RunWordsProps) {
  const words = strings.workflowRun;
  const { plan, planError, isPlanning } = useWorkflowRun();
  if (Object.keys(draft.document.nodes ?? {}).length === 0) return <p className="text-muted">{words.noNodes}</p>;
  if (missing.length > 0)
    return <p className="text-muted">{words.missing(missing.map((one) => one.title || one.name))}</p>;
  const problems = problemsOf(planError).filter((one) => one.severity === "error");
  if (problems.length > 0)
    return (
      <Button kind="quiet" className="-ml-2.5 justify-start text-warn" onClick={onDetails}>
        <span aria-hidden>▲</span> {words.problems(problems.length)}
      </Button>
    );
  if (planError !== null) return <p className="text-sm text-warn">{planError.message}</p>;
  if (plan === null) return <p className="text-muted">{isPlanning ? words.planning : " "}</p>;
  return (
    <button type="button" className="truncate rounded-sm text-left hover:underline" onClick={onDetails}>
      {planSentence(plan)}
    </button>
  );
}
