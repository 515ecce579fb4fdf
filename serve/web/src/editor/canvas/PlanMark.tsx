/** What the next run would do at a node, on its card: run it, take it from the cache, or leave it out. */
import { isUnderWay, useIsPast, useNextAct, useWorkflowRun } from "@/editor/run/state";
import { strings } from "@/strings";
import { classes } from "@/ui/classes";

const words = strings.editor.canvas.plan;

const MARKS = { runs: "▷", cached: "≡", depends: "◇", leftOut: "–" };

/** Words where the card says nothing of a run, and otherwise the sign alone. */
export function PlanMark({ name, isSignOnly }: { name: string; isSignOnly: boolean }) {
  const next = useNextAct(name);
  const isBusy = useWorkflowRun((store) => isUnderWay(store.phase));
  const isPast = useIsPast();
  if (next === null || isBusy || isPast) return null;
  return (
    <span
      data-plan={next}
      title={words.told[next]}
      className={classes("shrink-0 text-xs", next === "runs" ? "text-info" : "text-muted")}
    >
      <span aria-hidden>{MARKS[next]}</span>
      <span className={isSignOnly ? "sr-only" : undefined}> {words[next]}</span>
    </span>
  );
}
