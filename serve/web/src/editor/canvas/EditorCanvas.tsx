/** The Canvas tab: diagram, tools, outline, inspector, plan bar. A chunk of its own, loaded when a workflow is opened. */
import { ReactFlowProvider } from "@xyflow/react";
import { useEffect, useLayoutEffect, useState } from "react";

import { placed } from "@/editor/core/layout";
import type { NodeType } from "@/editor/node-types";
import { PastRunBanner } from "@/editor/run/PastRunBanner";
import { PlanBar } from "@/editor/run/PlanBar";
import type { CanvasDraft } from "@/editor/run/draft";
import { useWorkflowRun } from "@/editor/run/state";
import { amend, createEditorStore, type EditorStore } from "@/editor/store";
import { strings } from "@/strings";
import { Button } from "@/ui/button";

import { openPalette } from "./adding";
import { Announcer } from "./Announcer";
import { Flow } from "./Flow";
import { useSelectedNodes } from "./graph";
import { HelpDialog } from "./HelpDialog";
import { useHotkeys } from "./hotkeys";
import { Inspector } from "./Inspector";
import { open, useEditor } from "./opened";
import { Outline } from "./Outline";
import { Palette } from "./Palette";
import { PointMenu } from "./PointMenu";
import { Toolbar } from "./Toolbar";
import { holdFlush } from "./viewport";

const words = strings.editor.canvas;

interface EditorCanvasProps {
  store: EditorStore;
  types: readonly NodeType[];
  draft: CanvasDraft;
  /** On narrow screens the canvas is only looked at. */
  isNarrow: boolean;
}

export default function EditorCanvas({ store, types, draft, isNarrow }: EditorCanvasProps) {
  const past = useWorkflowRun((run) => run.past);
  const document = past?.document ?? null;
  const shown = useShown(store, document, isNarrow);
  useEffect(() => {
    holdFlush(draft.saved);
  }, [draft]);
  return (
    <div className="flex h-full min-h-0 flex-col">
      <PastRunBanner draft={draft} />
      {isNarrow && <p className="border-b border-line bg-surface px-3 py-2 text-sm text-muted">{words.readOnly}</p>}
      <OpenCanvas key={past?.run.id ?? "draft"} store={shown} types={types} draft={draft} isNarrow={isNarrow} />
      <Announcer />
    </div>
  );
}

/** The store on show: the draft's own, or one of a past run's document, in which nothing can be changed. */
function useShown(store: EditorStore, document: EditorStorePast, isNarrow: boolean): EditorStore {
  const [past, setPast] = useState<{ document: EditorStorePast; isNarrow: boolean; store: EditorStore } | null>(null);
  if (document === null && !isNarrow) return store;
  if (past !== null && past.document === document && past.isNarrow === isNarrow) return past.store;
  const { draft, document: own, problems } = store.getState();
  const made = createEditorStore(
    { ...draft, workflow: document ?? own, problems: document === null ? [...problems] : [] },
    { isReadOnly: true },
  );
  setPast({ document, isNarrow, store: made });
  return made;
}

type EditorStorePast = CanvasDraft["document"] | null;

function OpenCanvas({ store, types, draft, isNarrow }: EditorCanvasProps) {
  open(store, types);
  useHotkeys();
  usePlaces(store);
  const isReadOnly = useEditor((state) => state.isReadOnly);
  return (
    <ReactFlowProvider>
      <div className="flex min-h-0 flex-1">
        <Outline />
        <div className="relative min-w-0 flex-1 overflow-hidden">
          <Flow store={store} types={types} isReadOnly={isReadOnly} />
          <Toolbar />
          <Nothing />
          <Foot draft={draft} />
        </div>
        {!isNarrow && <Inspector />}
      </div>
      <Palette />
      <PointMenu />
      <HelpDialog />
    </ReactFlowProvider>
  );
}

/** A document that says nothing of places, as one written by hand, is laid out when it is opened, or taken over. */
function usePlaces(store: EditorStore): void {
  // Before the diagram hears of a document: it never draws one without places.
  useLayoutEffect(() => {
    const place = () => {
      amend(store, placed());
    };
    place();
    return store.subscribe((now, before) => {
      if (now.document !== before.document) place();
    });
  }, [store]);
}

function Nothing() {
  const isEmpty = useEditor((state) => Object.keys(state.document.nodes ?? {}).length === 0);
  const isReadOnly = useEditor((state) => state.isReadOnly);
  if (!isEmpty) return null;
  return (
    <div className="pointer-events-none absolute inset-0 grid place-items-center p-6">
      <div className="flex flex-col items-center gap-3 text-center">
        <h2 className="text-lg font-semibold">{words.empty.title}</h2>
        {!isReadOnly && (
          <>
            <p className="text-muted">{words.empty.text}</p>
            <Button kind="primary" className="pointer-events-auto" onClick={openPalette}>
              {words.empty.action}
            </Button>
          </>
        )}
      </div>
    </div>
  );
}

function Foot({ draft }: { draft: CanvasDraft }) {
  const selected = useSelectedNodes();
  return (
    <div className="pointer-events-none absolute inset-x-3 bottom-3 z-10 flex justify-center">
      <div className="pointer-events-auto max-w-full">
        <PlanBar draft={draft} selected={selected} />
      </div>
    </div>
  );
}
