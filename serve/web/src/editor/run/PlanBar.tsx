/** The bar at the foot of the canvas: what a run will do before it does, how far it is, what it took and cost. */
import { ChevronUp, Play, Square } from "lucide-react";
import { useState } from "react";

import { problemsOf } from "./problems";
import type { CanvasDraft } from "./draft";
import { PlanDetails } from "./PlanDetails";
import { missingInputs } from "./plan-sentence";
import { cancelRun, startRun, type RunOptions } from "./running";
import { RunWords } from "./RunWords";
import { isUnderWay, useWorkflowRun } from "./state";
import { usePlan } from "./useWorkflowRun";
import { ValuesForm } from "./ValuesForm";

import { asApiError } from "@/api/errors";
import { strings } from "@/strings";
import { Button, IconButton } from "@/ui/button";
import { Dialog } from "@/ui/dialog";
import { Menu } from "@/ui/menu";
import { toast } from "@/ui/toast";
import { useKeptFocus } from "@/ui/useKeptFocus";
import { useRunKey } from "@/ui/useRunKey";
import { ButtonKey } from "@/ui/words";

interface PlanBarProps {
  draft: CanvasDraft;
  /** Nodes that are selected on the canvas: a run may go as far as these. */
  selected: string[];
}

type Shown = "none" | "plan" | "values";

export function PlanBar({ draft, selected }: PlanBarProps) {
  const [shown, show] = useState<Shown>("none");
  const [pending, setPending] = useState<RunOptions>({});
  const { phase, plan, planError, values, past } = useWorkflowRun();
  usePlan(draft);
  const inputs = draft.document.interface?.inputs ?? [];
  const missing = missingInputs(inputs, values);
  const isBusy = isUnderWay(phase);
  const kept = useKeptFocus<HTMLElement>(isBusy);
  const run = (options: RunOptions = {}) => {
    if (missing.length > 0) {
      setPending(options);
      show("values");
      return;
    }
    void startRun(options, draft.saved);
  };
  useRunKey(() => {
    if (!isBusy && past === null) run();
  });
  const words = strings.workflowRun;
  // A past run is looked at, not run: its banner has the ways on.
  if (past !== null) return null;
  return (
    <section
      {...kept}
      tabIndex={-1}
      aria-label={words.region}
      className="flex max-w-full flex-wrap items-center gap-2 rounded-lg border border-line-strong bg-raised px-3 py-2 shadow-float"
    >
      <RunWords
        draft={draft}
        missing={missing}
        onDetails={() => {
          show("plan");
        }}
      />
      {isBusy ? (
        <CancelButton />
      ) : (
        <RunButtons
          run={run}
          selected={selected}
          hasInputs={inputs.length > 0}
          onValues={() => {
            setPending({});
            show("values");
          }}
        />
      )}
      <PlanDetails
        open={shown === "plan"}
        onClose={() => {
          show("none");
        }}
        plan={plan}
        problems={problemsOf(planError)}
        titleOf={(node) => draft.document.layout?.nodes?.[node]?.title || node}
        focusField={draft.focusField}
      />
      <Dialog
        open={shown === "values"}
        onClose={() => {
          show("none");
        }}
        title={words.valuesTitle}
        footer={
          <Button
            kind="primary"
            disabled={missing.length > 0 || isBusy}
            onClick={() => {
              show("none");
              void startRun(pending, draft.saved);
            }}
          >
            {words.run}
          </Button>
        }
      >
        <p className="mb-3 text-muted">{words.valuesText}</p>
        <ValuesForm inputs={inputs} showErrors={false} />
      </Dialog>
    </section>
  );
}

interface RunButtonsProps {
  run: (options?: RunOptions) => void;
  selected: string[];
  hasInputs: boolean;
  onValues: () => void;
}

function RunButtons({ run, selected, hasInputs, onValues }: RunButtonsProps) {
  const words = strings.workflowRun;
  const { phase, runId } = useWorkflowRun();
  const failed = phase === "failed" || phase === "canceled" ? runId : null;
  const items = [
    {
      label: words.runAnew,
      run: () => {
        run({ useCache: false });
      },
    },
  ];
  return (
    <div className="flex flex-wrap items-center gap-2">
      {hasInputs && <Button onClick={onValues}>{words.values}</Button>}
      {selected.length > 0 && (
        <Button
          onClick={() => {
            run({ targets: selected });
          }}
        >
          {words.runToHere}
        </Button>
      )}
      {failed !== null && (
        <Button
          onClick={() => {
            run({ seedsOf: failed });
          }}
        >
          {phase === "canceled" ? words.runFromThere : words.runFromFailed}
        </Button>
      )}
      <Menu
        trigger={
          <IconButton label={words.more}>
            <ChevronUp size={14} aria-hidden />
          </IconButton>
        }
        items={items}
      />
      <Button
        kind="primary"
        onClick={() => {
          run();
        }}
      >
        <Play size={12} aria-hidden />
        {words.run}
        <ButtonKey>{words.runKeys}</ButtonKey>
      </Button>
    </div>
  );
}

export function CancelButton() {
  const words = strings.workflowRun;
  const phase = useWorkflowRun((store) => store.phase);
  const [isCanceling, setCanceling] = useState(false);
  const cancel = async () => {
    setCanceling(true);
    try {
      await cancelRun();
    } catch (thrown) {
      setCanceling(false);
      toast(asApiError(thrown).message, "bad");
    }
  };
  return (
    <Button kind="danger" disabled={phase === "starting" || isCanceling} onClick={() => void cancel()}>
      <Square size={12} aria-hidden />
      {isCanceling ? words.canceling : words.cancel}
    </Button>
  );
}
