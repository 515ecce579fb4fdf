/** The gallery: workflows to begin with, each with what it still needs here. */
import { Plus } from "lucide-react";

import { asApiError } from "@/api/errors";
import type { WorkflowSpec } from "@/api/types";
import { strings } from "@/strings";
import { ErrorState, Skeleton } from "@/ui/states";
import { StateWord } from "@/ui/words";

import { GraphSketch } from "./GraphSketch";
import { BLANK, useTemplates, type Template } from "./library";

/** What is to become a workflow, and what to call it. */
export interface Beginning {
  name: string;
  title: string;
  document: WorkflowSpec;
  note?: string;
}

const CARD =
  "flex h-full w-full flex-col gap-2 rounded-md border border-line bg-surface p-3 text-left transition-colors hover:border-faint";

export function Templates({ onChoose }: { onChoose: (beginning: Beginning) => void }) {
  const { data, error, isPending } = useTemplates();
  const words = strings.workflows;
  // What can run here comes first.
  const shown = [...(data ?? [])].sort((one, other) => one.missing.length - other.missing.length);
  if (error && data === undefined) return <ErrorState error={asApiError(error)} />;
  return (
    <ul className="grid gap-3 sm:grid-cols-2 lg:grid-cols-3 xl:grid-cols-5">
      <li>
        <button
          type="button"
          className={CARD}
          onClick={() => {
            onChoose({ name: "workflow", title: words.blank.title, document: BLANK });
          }}
        >
          <span className="flex h-24 w-full items-center justify-center rounded-sm border border-dashed border-line-strong text-muted">
            <Plus size={20} aria-hidden />
          </span>
          <span className="font-semibold">{words.blank.title}</span>
          <span className="text-sm text-muted">{words.blank.text}</span>
        </button>
      </li>
      {isPending && [1, 2, 3].map((one) => <Skeleton key={one} className="h-48" />)}
      {shown.map((template) => (
        <li key={template.name}>
          <TemplateCard template={template} onChoose={onChoose} />
        </li>
      ))}
    </ul>
  );
}

function TemplateCard({ template, onChoose }: { template: Template; onChoose: (beginning: Beginning) => void }) {
  const words = strings.workflows;
  const document = template.workflow as unknown as WorkflowSpec;
  const isReady = template.missing.length === 0;
  return (
    <button
      type="button"
      className={CARD}
      onClick={() => {
        const note = isReady ? undefined : words.missingLong(template.missing);
        onChoose({ name: template.name, title: template.title, document, note });
      }}
    >
      <span className="w-full rounded-sm bg-bg">
        <GraphSketch document={document} />
      </span>
      <span className="font-semibold">{template.title}</span>
      <span className="line-clamp-3 text-sm text-muted">{template.description}</span>
      <span className="mt-auto flex w-full flex-wrap items-center justify-between gap-x-2">
        <StateWord tone={isReady ? "ok" : "warn"}>{isReady ? words.ready : words.missing(template.missing)}</StateWord>
        <span className="text-sm text-faint">{words.nodes(Object.keys(document.nodes ?? {}).length)}</span>
      </span>
    </button>
  );
}
