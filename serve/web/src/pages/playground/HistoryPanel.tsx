/** Past runs of the model: look at one again, or take its parameters. */
import { CornerUpLeft } from "lucide-react";

import { asApiError } from "@/api/errors";
import { AssetImage } from "@/media/AssetImage";
import type { PastRun } from "@/playground/history";
import { outputsOf } from "@/playground/run-state";
import type { Playground } from "@/playground/usePlayground";
import { useSession } from "@/shell/session";
import { strings } from "@/strings";
import { IconButton } from "@/ui/button";
import { classes } from "@/ui/classes";
import { ago } from "@/ui/quantities";
import { toast } from "@/ui/toast";

interface HistoryPanelProps {
  playground: Playground;
  /** The run that is looked at. */
  shown: string | null;
  onOpen: (id: string) => void;
}

export function HistoryPanel({ playground, shown, onOpen }: HistoryPanelProps) {
  const { history, restore } = playground;
  const { isSignedIn } = useSession();
  const words = strings.playground;
  return (
    <section aria-labelledby="history" className="p-3">
      <h2 id="history" className="px-1 font-semibold">
        {words.history}
      </h2>
      {!isSignedIn && history.runs.length > 0 && <p className="px-1 text-sm text-faint">{words.historyHere}</p>}
      {history.error !== null && (
        <p role="alert" className="px-1 pt-2 text-sm text-bad">
          {asApiError(history.error).message}
        </p>
      )}
      {!history.isPending && history.error === null && history.runs.length === 0 && (
        <p className="px-1 pt-2 text-sm text-faint">{words.historyEmpty}</p>
      )}
      <ol className="mt-2 flex flex-col gap-0.5">
        {history.runs.map((run) => (
          <Entry
            key={run.id}
            run={run}
            isShown={run.id === shown}
            onOpen={() => {
              onOpen(run.id);
            }}
            onRestore={() => {
              restore(run);
              toast(words.restored);
            }}
          />
        ))}
      </ol>
    </section>
  );
}

interface EntryProps {
  run: PastRun;
  isShown: boolean;
  onOpen: () => void;
  onRestore: () => void;
}

function Entry({ run, isShown, onOpen, onRestore }: EntryProps) {
  const words = strings.playground;
  const input = run.input as { prompt?: unknown; steps?: unknown };
  const prompt = typeof input.prompt === "string" && input.prompt !== "" ? input.prompt : words.noPrompt;
  const first = outputsOf(run.output)[0];
  const told = run.status === "succeeded" ? ago(run.finished_at ?? run.created_at) : strings.runs.statuses[run.status];
  return (
    <li className={classes("group relative flex items-center rounded-sm", isShown ? "bg-raised" : "hover:bg-raised")}>
      <button
        type="button"
        aria-current={isShown || undefined}
        onClick={onOpen}
        className="flex min-w-0 flex-1 items-center gap-2 p-1 text-left"
      >
        {first ? (
          <AssetImage id={first.asset.id} alt="" className="size-12 shrink-0 rounded-sm" />
        ) : (
          <span className="size-12 shrink-0 rounded-sm border border-dashed border-line-strong" />
        )}
        <span className="min-w-0">
          <span className="line-clamp-2 text-sm text-fg">{prompt}</span>
          <span className="block text-xs text-faint">
            {typeof input.steps === "number" ? `${words.steps(input.steps)}, ${told}` : told}
          </span>
        </span>
      </button>
      <IconButton
        label={words.restoreRun(prompt)}
        onClick={onRestore}
        kind="secondary"
        className="absolute right-1 bottom-1 opacity-0 group-hover:opacity-100 group-focus-within:opacity-100 focus-visible:opacity-100"
      >
        <CornerUpLeft size={14} aria-hidden />
      </IconButton>
    </li>
  );
}
