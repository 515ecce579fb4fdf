/** The workflow that is open, as its tabs and runs need it. */
import { useMemo } from "react";
import { useLocation } from "wouter";

import { useCanvasView } from "./canvas/view";
import { useAutosave, useEditor, useEditorStore } from "./EditorStore";
import type { CanvasDraft } from "./run/draft";

export function useCanvasDraft(workflow: string): CanvasDraft {
  const store = useEditorStore();
  const autosave = useAutosave();
  const document = useEditor((state) => state.document);
  const revision = useEditor((state) => state.revision);
  const [, navigate] = useLocation();
  return useMemo(
    () => ({
      workflow,
      document,
      revision,
      saved: () => autosave.flush(),
      replace: (next, label) => {
        store.getState().apply(() => next, { label });
      },
      focusField: (node, field) => {
        store.getState().select([node]);
        useCanvasView.getState().set({ isInspectorOpen: true, wantedField: { node, field: field ?? "" } });
        navigate(`/w/${encodeURIComponent(workflow)}`);
      },
    }),
    [workflow, document, revision, autosave, store, navigate],
  );
}
