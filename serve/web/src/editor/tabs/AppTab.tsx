/** The workflow for those who do not want the graph: its form, a button, and what comes of it. */
import { Link2, Play } from "lucide-react";
import { useMemo, useState } from "react";
import { useLocation, useSearch } from "wouter";

import { asApiError } from "@/api/errors";
import type { Schemas } from "@/api/types";
import type { CanvasDraft } from "@/editor/run/draft";
import { OutputValue } from "@/editor/run/OutputValue";
import { CancelButton } from "@/editor/run/PlanBar";
import { missingInputs, planSentence } from "@/editor/run/plan-sentence";
import { problemsOf } from "@/editor/run/problems";
import { ProblemList } from "@/editor/run/PlanDetails";
import { startRun } from "@/editor/run/running";
import { RunLine } from "@/editor/run/RunWords";
import { isUnderWay, useWorkflowRun } from "@/editor/run/state";
import { usePlan } from "@/editor/run/useWorkflowRun";
import { ValuesForm } from "@/editor/run/ValuesForm";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { Select } from "@/ui/fields";
import { EmptyState, ErrorState, Skeleton } from "@/ui/states";
import { toast } from "@/ui/toast";
import { useRunKey } from "@/ui/useRunKey";
import { ButtonKey } from "@/ui/words";

import { type Callable, useInterface } from "./useInterface";
import { useWhichOptions } from "./useWhich";

export default function AppTab({ draft }: { draft: CanvasDraft }) {
  const search = useSearch();
  const which = new URLSearchParams(search).get("of") ?? "draft";
  const { data, error, isPlaceholderData } = useInterface(draft, which);
  if (error && (data === undefined || isPlaceholderData)) return <ErrorState error={asApiError(error)} />;
  if (data === undefined)
    return (
      <div className="mx-auto flex max-w-[1200px] flex-col gap-3 px-4 py-5 sm:px-6">
        <Skeleton className="h-8 w-64" />
        <Skeleton className="h-40 w-full" />
      </div>
    );
  return <App draft={draft} which={which} callable={data} />;
}

function App({ draft, which, callable }: { draft: CanvasDraft; which: string; callable: Callable }) {
  const { document } = callable;
  return (
    <div className="mx-auto grid w-full max-w-[1200px] gap-x-8 gap-y-6 px-4 py-5 sm:px-6 md:grid-cols-[minmax(280px,380px)_1fr]">
      <div className="flex flex-col gap-4">
        <header className="flex flex-col gap-1">
          <h1 className="text-xl font-bold">{document.title || draft.workflow}</h1>
          {document.description && <p className="text-muted">{document.description}</p>}
        </header>
        <WhichApp draft={draft} which={which} />
        <AppForm draft={draft} which={which} callable={callable} />
      </div>
      <Outputs outputs={document.interface?.outputs ?? []} />
    </div>
  );
}

function WhichApp({ draft, which }: { draft: CanvasDraft; which: string }) {
  const words = strings.versions.app;
  const [, go] = useLocation();
  const options = useWhichOptions(draft.workflow);
  const path = (of: string) => `/w/${draft.workflow}/app${of === "draft" ? "" : `?of=${of}`}`;
  const share = async () => {
    const address = window.location.origin + path(which);
    try {
      await navigator.clipboard.writeText(address);
      toast(words.shared, "ok");
    } catch {
      // Over plain HTTP browsers have no clipboard for pages.
      toast(words.shareRefused(address), "bad");
    }
  };
  return (
    <div className="flex items-end gap-2">
      <div className="flex-1">
        <Select
          label={words.which}
          value={which}
          options={options}
          onChange={(event) => {
            go(path(event.target.value));
          }}
        />
      </div>
      <Button onClick={() => void share()}>
        <Link2 size={14} aria-hidden />
        {words.share}
      </Button>
    </div>
  );
}

function AppForm({ draft, which, callable }: { draft: CanvasDraft; which: string; callable: Callable }) {
  const [wasTried, setTried] = useState(false);
  const { phase, values, plan, planError, error } = useWorkflowRun();
  const inputs = useMemo(() => callable.document.interface?.inputs ?? [], [callable]);
  usePlan(draft, callable.document, which);
  const isBusy = isUnderWay(phase);
  const missing = missingInputs(inputs, values);
  const run = () => {
    setTried(true);
    if (!isBusy && missing.length === 0) void startRun({ which }, which === "draft" ? draft.saved : undefined);
  };
  useRunKey(run);
  const problems = problemsOf(planError).filter((one) => one.severity === "error");
  const words = strings.workflowRun;
  return (
    <>
      {inputs.length === 0 && <p className="text-muted">{strings.versions.app.noInputs}</p>}
      <ValuesForm inputs={inputs} schema={callable.inputs} showErrors={wasTried} />
      {problems.length > 0 && <ProblemList problems={problems} focusField={draft.focusField} />}
      <div className="sticky bottom-0 flex flex-col gap-2 border-t border-line bg-bg py-3">
        <div aria-live="polite" className="text-sm text-muted">
          {phase !== "none" && <RunLine />}
          {error !== null && <p className="text-bad">{error.message}</p>}
          {!isBusy && missing.length > 0 && <p>{words.missing(missing.map((one) => one.title || one.name))}</p>}
          {!isBusy && missing.length === 0 && plan !== null && problems.length === 0 && <p>{planSentence(plan)}</p>}
        </div>
        {isBusy ? (
          <CancelButton />
        ) : (
          <Button kind="primary" large onClick={run} disabled={problems.length > 0}>
            <Play size={14} aria-hidden />
            {words.run}
            <ButtonKey>{words.runKeys}</ButtonKey>
          </Button>
        )}
      </div>
    </>
  );
}

function Outputs({ outputs }: { outputs: Schemas["WorkflowOutput"][] }) {
  const words = strings.versions.app;
  const { run, phase, states } = useWorkflowRun();
  if (outputs.length === 0) return <EmptyState title={words.outputs} text={words.noOutputs} />;
  if (phase === "none") return <EmptyState title={words.outputs} text={words.notRun} />;
  const first = (one: Schemas["WorkflowOutput"]) => (one.primary ? 0 : 1);
  return (
    <section aria-label={words.outputs} aria-busy={isUnderWay(phase)} className="flex min-w-0 flex-col gap-6">
      {[...outputs]
        .sort((one, other) => first(one) - first(other))
        .map((output) => {
          const [node = "", port = ""] = output.from;
          const state = states.nodes[node];
          const value = run?.output?.[output.name] ?? state?.outputs?.[port];
          return (
            <div key={output.name} className="flex min-w-0 flex-col gap-1.5">
              <h2 className="text-sm text-muted">{output.title || output.name}</h2>
              {value !== undefined ? (
                <OutputValue name={output.name} value={value as never} />
              ) : state?.preview != null ? (
                <img src={state.preview} alt={output.title || output.name} className="rounded-md" />
              ) : state?.text ? (
                <p className="whitespace-pre-wrap">{state.text}</p>
              ) : (
                <OutputPlace isWorking={isUnderWay(phase)} error={state?.error?.message ?? null} />
              )}
            </div>
          );
        })}
    </section>
  );
}

function OutputPlace({ isWorking, error }: { isWorking: boolean; error: string | null }) {
  if (error !== null) return <p className="text-bad">{error}</p>;
  if (!isWorking) return <p className="text-faint">{strings.workflowRun.nothingCame}</p>;
  return <Skeleton className="h-32 w-full" />;
}
