/** The open workflow as running and the tabs see it. */
import { useMemo } from "react";

import { useAutosave, useEditor, useEditorStore } from "../EditorStore";
import type { CanvasDraft } from "./draft";

/** `focusField` must stay the same function while nothing of it changes. */
export function useCanvasDraft(focusField: CanvasDraft["focusField"]): CanvasDraft {
  const store = useEditorStore();
  const autosave = useAutosave();
  const workflow = useEditor((state) => state.workflow);
  const document = useEditor((state) => state.document);
  const revision = useEditor((state) => state.revision);
  return useMemo(
    () => ({
      workflow,
      document,
      revision,
      saved: () => autosave.flush(),
      replace: (next, label) => {
        store.getState().settle();
        store.getState().apply(() => next, { label });
      },
      focusField,
    }),
    [workflow, document, revision, autosave, store, focusField],
  );
}
