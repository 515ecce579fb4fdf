/** Everything about the selected node (or, without one, about the workflow): its words, what it is given, what of it is part of the interface, how it runs. */
import { forPeople } from "@/api/errors";
import { X } from "lucide-react";
import { useEffect, useRef } from "react";

import { strings } from "@/strings";
import { Button, IconButton } from "@/ui/button";
import { Kbd } from "@/ui/words";

import { edit, isReadOnly } from "./commands";
import { placesOf } from "./fields";
import { clearAllInputs } from "./given";
import { useNode, useNodeProblems, useSelectedNodes, useTypeOf } from "./graph";
import { InspectorInputs } from "./InspectorInputs";
import { InspectorInterface } from "./InspectorInterface";
import { InspectorModel } from "./InspectorModel";
import { InspectorNames } from "./InspectorNames";
import { InspectorOutputs } from "./InspectorOutputs";
import { InspectorPolicy } from "./InspectorPolicy";
import { Trouble } from "./NodeState";
import { useCanvasView } from "./view";

const words = strings.editor.canvas;

export function Inspector() {
  const isOpen = useCanvasView((view) => view.isInspectorOpen);
  const selected = useSelectedNodes();
  const only = selected.length === 1 ? selected[0] : undefined;
  if (!isOpen) return null;
  return (
    <aside
      aria-label={words.inspector.label}
      className="flex w-72 shrink-0 flex-col overflow-y-auto border-l border-line bg-surface xl:w-80"
    >
      {only !== undefined && <OneNode key={only} name={only} />}
      {selected.length > 1 && <Several count={selected.length} />}
      {selected.length === 0 && <WholeWorkflow />}
    </aside>
  );
}

function CloseButton() {
  return (
    <IconButton
      label={words.inspector.close}
      className="-mr-1.5"
      onClick={() => {
        useCanvasView.getState().set({ isInspectorOpen: false });
      }}
    >
      <X size={14} aria-hidden />
    </IconButton>
  );
}

function Several({ count }: { count: number }) {
  return (
    <div className="flex items-start justify-between gap-2 p-4 text-muted">
      <p>{words.inspector.severalSelected(count)}</p>
      <CloseButton />
    </div>
  );
}

/** Where no node is selected: the workflow's own inputs and outputs, and what there is to do. */
function WholeWorkflow() {
  return (
    <div className="flex flex-col gap-4 p-4">
      <div className="flex items-start justify-between gap-2">
        <h2 className="font-semibold">{words.inspector.workflow}</h2>
        <CloseButton />
      </div>
      <fieldset disabled={isReadOnly()} className="contents">
        <InspectorInterface />
      </fieldset>
      <p className="border-t border-line pt-4 text-sm text-muted">{words.inspector.nothing}</p>
      {!isReadOnly() && (
        <dl className="flex flex-col gap-2 text-sm">
          {words.inspector.beginnings.map(([what, how]) => (
            <div key={what} className="flex items-baseline justify-between gap-3">
              <dt className="text-muted">{what}</dt>
              <dd className="shrink-0">
                <Kbd>{how}</Kbd>
              </dd>
            </div>
          ))}
        </dl>
      )}
    </div>
  );
}

function OneNode({ name }: { name: string }) {
  const node = useNode(name);
  const type = useTypeOf(name);
  const body = useWantedField(name);
  if (node === undefined) return null;
  return (
    <div ref={body} className="flex flex-col gap-4 p-4">
      <div className="flex items-start justify-between gap-2">
        <div className="min-w-0">
          <h2 className="truncate font-semibold">{type?.title ?? node.type}</h2>
          <p className="truncate font-mono text-xs text-faint">{node.type}</p>
        </div>
        <CloseButton />
      </div>
      {type?.description && (
        <p className="line-clamp-3 text-sm text-faint" title={type.description}>
          {type.description}
        </p>
      )}
      <Problems name={name} />
      <fieldset disabled={isReadOnly()} className="contents">
        <InspectorNames name={name} />
        <InspectorModel name={name} />
        <InspectorInputs name={name} />
        <div>
          <Button
            kind="quiet"
            className="-ml-2.5"
            onClick={() => {
              edit(clearAllInputs(name), words.edits.reset);
            }}
          >
            {words.inspector.resetAll}
          </Button>
        </div>
        <InspectorOutputs name={name} />
        <InspectorPolicy name={name} />
      </fieldset>
    </div>
  );
}

function Problems({ name }: { name: string }) {
  const problems = useNodeProblems(name);
  if (problems.length === 0) return null;
  return (
    <section aria-label={words.inspector.problems} className="-mx-2.5">
      {problems.map((problem, index) => (
        <Trouble
          key={`${problem.code}:${String(index)}`}
          node={name}
          message={forPeople(problem.message)}
          field={problem.field}
          isWarning={problem.severity === "warning"}
        />
      ))}
    </section>
  );
}

/** Brings the field that was asked for ("go to field") into view, and the focus to it. */
function useWantedField(name: string) {
  const body = useRef<HTMLDivElement>(null);
  const wanted = useCanvasView((view) => view.wantedField);
  useEffect(() => {
    if (wanted?.node !== name || body.current === null) return;
    const [section] = placesOf(wanted.field).flatMap(
      (place) => body.current?.querySelector<HTMLElement>(`[data-field="${CSS.escape(place)}"]`) ?? [],
    );
    section?.closest("details")?.setAttribute("open", "");
    section?.scrollIntoView({ block: "center" });
    section?.querySelector<HTMLElement>("input, textarea, select, button, [tabindex='0']")?.focus();
    useCanvasView.getState().set({ wantedField: null });
  }, [wanted, name]);
  return body;
}
