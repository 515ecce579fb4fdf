/** Tidying and aligning, by what the cards on the canvas measure. */
import { align, type Axis, distribute, type Edge, type Sizes, tidy } from "@/editor/core/layout";
import { strings } from "@/strings";

import { edit, nodesOrWords, selectedNodes } from "./commands";
import { editor } from "./opened";
import { say } from "./view";
import { fit, instance } from "./viewport";

const words = strings.editor.canvas;

function sizes(): Sizes {
  const found = (instance()?.getNodes() ?? []).map(({ id, measured }) => [
    id,
    { width: measured?.width ?? 224, height: measured?.height ?? 120 },
  ]);
  return Object.fromEntries(found) as Sizes;
}

/** The selected nodes, or all where fewer than two are. */
export function tidyUp(): void {
  const names = selectedNodes();
  edit(tidy(sizes(), names.length > 1 ? names : undefined), words.edits.tidy);
  say(words.said.tidied);
  if (names.length < 2) requestAnimationFrame(fit);
}

export function alignTo(edge: Edge): void {
  if (nodesOrWords(2) === null) return;
  edit(align(sizes(), editor().selection, edge), words.edits.align);
  say(words.said.aligned);
}

export function distributeAlong(axis: Axis): void {
  if (nodesOrWords(2) === null) return;
  edit(distribute(sizes(), editor().selection, axis), words.edits.distribute);
  say(words.said.aligned);
}
