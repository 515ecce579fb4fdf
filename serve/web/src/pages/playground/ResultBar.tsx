/** Above the pictures: what they took and cost, and what can be done with the parameters that made them. */
import { Columns2, Link2, Workflow } from "lucide-react";
import { useState } from "react";
import { useLocation } from "wouter";

import { asApiError } from "@/api/errors";
import { tookSeconds } from "@/api/runs";
import type { Card, Task } from "@/api/types";
import { fragmentOf } from "@/playground/sharing";
import type { Playground } from "@/playground/usePlayground";
import { beginWorkflow } from "@/playground/workflow";
import { useSession } from "@/shell/session";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { duration, money } from "@/ui/quantities";
import { toast } from "@/ui/toast";
import { Chip } from "@/ui/words";

interface ResultBarProps {
  card: Card;
  task: Task;
  playground: Playground;
  canCompare: boolean;
  onCompare: () => void;
}

export function ResultBar({ card, task, playground, canCompare, onCompare }: ResultBarProps) {
  const { run, outputs } = playground.run;
  const { may } = useSession();
  const words = strings.playground;
  const seconds = run === null ? null : tookSeconds(run);
  return (
    <div className="flex min-h-7 flex-wrap items-center gap-2">
      {outputs.length > 0 && <Chip>{words.images(outputs.length)}</Chip>}
      {seconds !== null && <Chip>{duration(seconds)}</Chip>}
      {run?.cost && <Chip>{money(run.cost)}</Chip>}
      <span className="ml-auto flex flex-wrap gap-1">
        {canCompare && (
          <Button kind="quiet" onClick={onCompare}>
            <Columns2 size={14} aria-hidden />
            {words.compare}
          </Button>
        )}
        <ShareButton task={task} playground={playground} />
        {may("workflows.write") && <WorkflowButton card={card} task={task} playground={playground} />}
      </span>
    </div>
  );
}

function ShareButton({ task, playground }: { task: Task; playground: Playground }) {
  const words = strings.playground;
  const share = async () => {
    const { origin, pathname } = window.location;
    const fragment = fragmentOf(task, playground.fields, playground.values);
    try {
      await navigator.clipboard.writeText(origin + pathname + fragment);
      toast(words.shared);
    } catch {
      window.history.replaceState(null, "", fragment);
      toast(words.shareFailed);
    }
  };
  return (
    <Button kind="quiet" onClick={() => void share()}>
      <Link2 size={14} aria-hidden />
      {words.share}
    </Button>
  );
}

function WorkflowButton({ card, task, playground }: Omit<ResultBarProps, "canCompare" | "onCompare">) {
  const [isBusy, setBusy] = useState(false);
  const [, go] = useLocation();
  const words = strings.playground;
  const begin = async () => {
    setBusy(true);
    try {
      const name = await beginWorkflow(card, task, playground.fields, playground.values);
      toast(words.workflowMade);
      go(`/w/${name}`);
    } catch (thrown) {
      toast(asApiError(thrown).message, "bad");
      setBusy(false);
    }
  };
  return (
    <Button kind="quiet" disabled={isBusy} onClick={() => void begin()}>
      <Workflow size={14} aria-hidden />
      {words.useInWorkflow}
    </Button>
  );
}
