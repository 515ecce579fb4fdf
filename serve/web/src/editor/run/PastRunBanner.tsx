/** Above the canvas while it shows a past run: nothing can be changed, and two ways on. */
import { useLocation } from "wouter";

import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { ago } from "@/ui/quantities";
import { toast } from "@/ui/toast";

import type { CanvasDraft } from "./draft";
import { lookAway, restoreValues } from "./looking";
import { useWorkflowRun } from "./state";

export function PastRunBanner({ draft }: { draft: CanvasDraft }) {
  const past = useWorkflowRun((store) => store.past);
  const [, go] = useLocation();
  if (past === null) return null;
  const words = strings.workflowRun.past;
  const { run, document } = past;
  const names = (draft.document.interface?.inputs ?? []).map((one) => one.name);
  const back = () => {
    lookAway();
    go(`/w/${encodeURIComponent(draft.workflow)}`);
  };
  return (
    <section
      aria-label={words.label}
      className="flex flex-wrap items-center gap-2 border-b border-line bg-accent-soft px-4 py-1.5"
    >
      <p role="status" className="min-w-0 flex-1">
        {words.banner(run.workflow ?? "", ago(run.created_at))}
        {document === null && ` ${words.noDocument}`}
      </p>
      {names.length > 0 && (
        <Button
          onClick={() => {
            restoreValues(run, names);
            back();
            toast(words.restored, "ok");
          }}
        >
          {words.restore}
        </Button>
      )}
      {document !== null && (
        <Button
          onClick={() => {
            draft.replace(document, words.restoreDocument);
            restoreValues(
              run,
              (document.interface?.inputs ?? []).map((one) => one.name),
            );
            back();
          }}
        >
          {words.restoreDocument}
        </Button>
      )}
      <Button kind="primary" onClick={back}>
        {words.back}
      </Button>
    </section>
  );
}
