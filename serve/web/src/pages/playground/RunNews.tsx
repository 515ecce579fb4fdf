/** How the run is doing, in words: said once for everybody, and to readers as it changes. */
import { useEffect, useState } from "react";

import type { ApiError } from "@/api/errors";
import type { Card } from "@/api/types";
import type { UseRun } from "@/playground/useRun";
import { useSite } from "@/shell/session";
import { strings } from "@/strings";
import { clockTime, duration } from "@/ui/quantities";
import { Progress } from "@/ui/progress";
import { StateWord } from "@/ui/words";

export function RunNews({ card, run }: { card: Card; run: UseRun }) {
  const told = newsOf(card, run);
  return (
    <div>
      <div aria-live="polite">
        {told !== null && <StateWord tone={run.state === "canceled" ? "plain" : "info"}>{told}</StateWord>}
      </div>
      {run.isBusy && run.progress !== null && (
        <div className="mt-1">
          <Progress
            label={strings.playground.states.running}
            fraction={run.progress.total > 0 ? run.progress.done / run.progress.total : null}
          />
        </div>
      )}
      {run.error !== null && <Refusal error={run.error} />}
    </div>
  );
}

function newsOf(card: Card, { state, progress, outputs, isBusy }: UseRun): string | null {
  const words = strings.playground;
  if (state === "canceled") return words.canceled;
  if (state === "done") return outputs.length === 0 ? words.nothingMade : null;
  if (!isBusy) return null;
  if (progress !== null) return words.step(progress.done, progress.total);
  const isAsleep = card.state === "at_zero" || card.state === "loading";
  if (isAsleep && state !== "submitting")
    return card.cold_start_seconds === null ? words.startingUnknown : words.starting(duration(card.cold_start_seconds));
  return state === "idle" ? null : words.states[state];
}

/** What was refused or failed, and when it is possible again. */
function Refusal({ error }: { error: ApiError }) {
  const words = strings.playground;
  const requests = useSite().data?.playground.requests ?? [];
  const used = error.status === 429 ? requests.find((one) => one.left === 0) : undefined;
  const freeAt = used?.resets_at;
  return (
    <div role="alert" className="mt-2 rounded-sm border border-bad p-3">
      <p>{error.message}</p>
      {error.retryAfterSeconds !== null && <AgainIn key={error.message} seconds={error.retryAfterSeconds} />}
      {freeAt && <p className="text-sm text-muted">{words.againAt(clockTime(freeAt))}</p>}
      {error.status > 0 && <code className="font-mono text-xs text-faint">{error.code}</code>}
    </div>
  );
}

function AgainIn({ seconds }: { seconds: number }) {
  const [left, setLeft] = useState(Math.ceil(seconds));
  useEffect(() => {
    if (left <= 0) return;
    const timer = setTimeout(() => {
      setLeft(left - 1);
    }, 1000);
    return () => {
      clearTimeout(timer);
    };
  }, [left]);
  return left > 0 ? <p className="text-sm text-muted">{strings.playground.againIn(left)}</p> : null;
}
