/** What running needs to know of the document on the canvas; the editor's page hands it in. */
import type { WorkflowSpec } from "@/api/types";

export interface CanvasDraft {
  workflow: string;
  /** As it is on the canvas, saved or not. */
  document: WorkflowSpec;
  /** Of the draft that is saved: another one asks for another plan. */
  revision: string | null;
  /** Resolves, with the revision, once what is on the canvas is saved; rejects with an ApiError where it cannot be. */
  saved: () => Promise<string>;
  /** Have the canvas show `document`, as one step that can be undone. */
  replace: (document: WorkflowSpec, label: string) => void;
  /** Show a node, and one of its fields. */
  focusField: (node: string, field: string | null) => void;
}
