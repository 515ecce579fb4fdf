/** The workflow as an API: calls to copy that run as they stand, what they send and what comes back. */
import { ExternalLink } from "lucide-react";
import { useState } from "react";
import { Link } from "wouter";

import { asApiError } from "@/api/errors";
import type { InputSchema } from "@/api/types";
import type { CanvasDraft } from "@/editor/run/draft";
import { ProblemList } from "@/editor/run/PlanDetails";
import { useWorkflowRun } from "@/editor/run/state";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { CodeBlock } from "@/ui/code";
import { Select } from "@/ui/fields";
import { EmptyState, ErrorState, Skeleton } from "@/ui/states";

import { isForm, type Language, type ObjectSchema, requestOf, type SnippetRequest, type Way } from "./snippets/request";
import { receiverOf, snippetOf } from "./snippets/snippets";
import { type Callable, useInterface } from "./useInterface";
import { useWorkflow } from "./useVersions";
import { useWhichOptions } from "./useWhich";

const words = strings.versions.api;

export default function ApiTab({ draft }: { draft: CanvasDraft }) {
  const [chosen, choose] = useState<string | null>(null);
  const { data: workflow } = useWorkflow(draft.workflow);
  const which = chosen ?? (workflow?.latest != null ? String(workflow.latest) : "draft");
  const { data, error } = useInterface(draft, which);
  const options = useWhichOptions(draft.workflow);
  return (
    <div className="mx-auto flex w-full max-w-[1200px] flex-col gap-5 px-4 py-5 sm:px-6">
      <h2 className="sr-only">{words.title}</h2>
      <div className="flex flex-wrap items-end justify-between gap-3">
        <div className="w-64">
          <Select
            label={words.which}
            value={which}
            options={options}
            onChange={(event) => {
              choose(event.target.value);
            }}
          />
        </div>
        <Button asChild kind="quiet" className="max-sm:-ml-2.5 sm:-mr-2.5">
          <a
            href={`/v1/workflows/${encodeURIComponent(`${draft.workflow}@${which}`)}/openapi.json`}
            target="_blank"
            rel="noreferrer"
          >
            <ExternalLink size={14} aria-hidden />
            {words.openapi}
          </a>
        </Button>
      </div>
      {which === "draft" && <p className="text-warn">▲ {words.draftNote}</p>}
      {error ? <ErrorState error={asApiError(error)} /> : <Calls draft={draft} which={which} callable={data} />}
    </div>
  );
}

function Calls({ draft, which, callable }: { draft: CanvasDraft; which: string; callable: Callable | undefined }) {
  const values = useWorkflowRun((store) => store.values);
  if (callable === undefined) return <Skeleton className="h-64 w-full" />;
  if (callable.inputs === null)
    return (
      <>
        <EmptyState title={words.notReady} />
        <ProblemList problems={callable.problems} focusField={which === "draft" ? draft.focusField : undefined} />
      </>
    );
  const address = `${draft.workflow}@${which}`;
  const request = requestOf(window.location.origin, address, callable.inputs, callable.outputs, values);
  return (
    <>
      <Snippets request={request} />
      <Ports title={words.inputs} schema={callable.inputs} hasValues />
      {callable.outputs && <Ports title={words.outputs} schema={callable.outputs} />}
    </>
  );
}

function Snippets({ request }: { request: SnippetRequest }) {
  const [language, setLanguage] = useState<Language>("curl");
  const [way, setWay] = useState<Way>("wait");
  return (
    <section className="flex flex-col gap-3">
      <div className="flex flex-wrap gap-x-6 gap-y-2">
        <Choice label={words.language} options={words.languages} value={language} onChange={setLanguage} />
        <Choice label={words.way} options={words.ways} value={way} onChange={setWay} />
      </div>
      <p className="text-muted">{words.waysText[way]}</p>
      <CodeBlock code={snippetOf(request, language, way)} label={words.snippet} />
      <p className="text-sm text-muted">
        {words.key}{" "}
        <Link href="/keys" className="text-fg underline">
          {words.makeKey}
        </Link>
        {isForm(request) && ` ${words.files(Object.values(request.files))}`}
      </p>
      {way === "webhook" && (
        <>
          <h2 className="mt-2 text-lg font-semibold">{words.receiver}</h2>
          <p className="text-muted">{words.receiverText}</p>
          <CodeBlock code={receiverOf(language)} label={words.receiver} />
        </>
      )}
    </section>
  );
}

interface ChoiceProps<Value extends string> {
  label: string;
  options: Record<Value, string>;
  value: Value;
  onChange: (value: Value) => void;
}

/** A few exclusive choices, all of them in sight. */
function Choice<Value extends string>({ label, options, value, onChange }: ChoiceProps<Value>) {
  return (
    <fieldset className="flex flex-col gap-1">
      <legend className="pb-1 text-sm text-muted">{label}</legend>
      <div className="flex flex-wrap gap-1">
        {(Object.entries(options) as [Value, string][]).map(([one, shown]) => (
          <Button
            key={one}
            aria-pressed={one === value}
            kind="quiet"
            className="border border-transparent aria-pressed:border-line-strong aria-pressed:bg-raised aria-pressed:text-fg"
            onClick={() => {
              onChange(one);
            }}
          >
            {shown}
          </Button>
        ))}
      </div>
    </fieldset>
  );
}

function Ports({ title, schema, hasValues = false }: { title: string; schema: ObjectSchema; hasValues?: boolean }) {
  const required = new Set(schema.required ?? []);
  const { columns } = words;
  const ports = Object.entries(schema.properties ?? {});
  if (ports.length === 0) return null;
  return (
    <section>
      <h2 className="mb-2 text-lg font-semibold">{title}</h2>
      {/* Scrolls sideways on narrow screens, so the keyboard must reach it. */}
      {/* eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex */}
      <div className="overflow-x-auto" tabIndex={0} role="region" aria-label={title}>
        <table className="w-full text-left max-sm:min-w-md">
          <thead className="text-sm whitespace-nowrap text-muted">
            <tr>
              <th className="py-1 pr-4 font-normal">{columns.name}</th>
              <th className="py-1 pr-4 font-normal">{columns.type}</th>
              {hasValues && <th className="py-1 pr-4 font-normal">{columns.required}</th>}
              {hasValues && <th className="py-1 pr-4 font-normal">{columns.default}</th>}
              <th className="py-1 font-normal">{columns.about}</th>
            </tr>
          </thead>
          <tbody>
            {ports.map(([name, one]) => (
              <tr key={name} className="border-t border-line align-baseline">
                <td className="py-1.5 pr-4 font-mono text-sm whitespace-nowrap">{name}</td>
                <td className="py-1.5 pr-4 whitespace-nowrap">{typeWords(one)}</td>
                {hasValues && <td className="py-1.5 pr-4">{required.has(name) ? words.yes : words.no}</td>}
                {hasValues && <td className="max-w-56 py-1.5 pr-4 font-mono text-sm">{defaultWords(one)}</td>}
                <td className="py-1.5 text-muted">{one.description ?? one.title}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function typeWords(schema: InputSchema): string {
  if (schema.items !== undefined) return words.listOf(typeWords(schema.items));
  if (schema.format !== undefined) return schema.format;
  const type = Array.isArray(schema.type) ? schema.type.filter((one) => one !== "null").join(", ") : schema.type;
  return type === "string" ? "text" : (type ?? "json");
}

function defaultWords({ default: value }: InputSchema): string {
  if (value === undefined || value === null) return "";
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.length > 120 ? `${text.slice(0, 120)}…` : text;
}
