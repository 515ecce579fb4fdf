/** What is done to the workflow by hand: each an edit of the document, said aloud, and one step of undo. */
import { all, collapse, disconnect, disconnectInput, moveNodes, placeOf, removeNodes } from "@/editor/core/document";
import { group, groupsOf, noteIndex, removeNotes, ungroup } from "@/editor/core/placing";
import { type Edit, nodeOf, nodesOf } from "@/editor/core/types";
import { notesOf, noteId } from "@/editor/core/placing";
import { strings } from "@/strings";
import { toast } from "@/ui/toast";

import { titleOfNode, titleOfPort } from "./graph";
import { currentDoc, editor, editorStore } from "./opened";
import { say, SNAP_GRID, useCanvasView } from "./view";

const words = strings.editor.canvas;

export function isReadOnly(): boolean {
  return editorStore()?.getState().isReadOnly ?? true;
}

/** Does `change` as one step; edits with the same `coalesce` that follow one another are one. */
export function edit(change: Edit, label: string, coalesce?: string, select?: readonly string[]): boolean {
  return editor().apply(change, { label, coalesce, select });
}

export function select(ids: readonly string[], links: readonly string[] = []): void {
  editor().select(ids, links);
}

export function undo(): void {
  const label = editor().undo();
  say(label === null ? words.said.nothingToUndo : words.said.undone(label));
}

export function redo(): void {
  const label = editor().redo();
  say(label === null ? words.said.nothingToRedo : words.said.redone(label));
}

/** The selected nodes, without notes. */
export function selectedNodes(): string[] {
  const { document, selection } = editor();
  return selection.filter((id) => nodeOf(document, id) !== undefined);
}

export function selectedNotes(): number[] {
  return editor()
    .selection.map(noteIndex)
    .filter((index) => index !== null);
}

/** The selected nodes; says so where there are none. */
export function nodesOrWords(atLeast = 1): string[] | null {
  const names = selectedNodes();
  if (names.length >= atLeast) return names;
  toast(words.said.selectFirst);
  say(words.said.selectFirst);
  return null;
}

export function selectAll(): void {
  const doc = currentDoc();
  const ids = [...Object.keys(nodesOf(doc)), ...notesOf(doc).map((_, index) => noteId(index))];
  select(ids);
  say(words.said.selected(ids.length));
}

export function removeSelected(): void {
  const { selectedLinks } = editor();
  const [names, notes] = [selectedNodes(), selectedNotes()];
  const count = names.length + notes.length + selectedLinks.length;
  if (count === 0) return;
  edit(all(disconnect(selectedLinks), removeNodes(names), removeNotes(notes)), words.edits.remove);
  say(words.said.removed(count));
}

export function removeNamed(names: readonly string[]): void {
  edit(removeNodes(names), words.edits.remove);
  say(words.said.removed(names.length));
}

export function disconnectLinks(ids: readonly string[]): void {
  edit(disconnect(ids), words.edits.disconnect);
  say(words.said.removed(ids.length));
}

export function disconnectPort(node: string, port: string): void {
  edit(disconnectInput(node, port), words.edits.disconnect);
  say(words.said.disconnected(titleOfPort(node, port, "input")));
}

export function groupSelected(): void {
  const names = nodesOrWords();
  if (names === null) return;
  edit(group(names), words.edits.group);
  say(words.said.grouped);
  useCanvasView.getState().set({ naming: groupsOf(currentDoc()).length - 1 });
}

/** Takes the frames away that a selected node is in. */
export function ungroupSelected(): void {
  const names = new Set(selectedNodes());
  const holds = groupsOf(currentDoc()).map((one) => (one.nodes ?? []).some((name) => names.has(name)));
  edit(ungroup(holds.flatMap((isHeld, index) => (isHeld ? [index] : []))), words.edits.ungroup);
}

export function toggleCollapsed(): void {
  const names = nodesOrWords();
  if (names === null) return;
  const isAnyOpen = names.some((name) => !placeOf(currentDoc(), name)?.collapsed);
  edit(collapse(names, isAnyOpen), words.edits.collapse);
}

/** Moves a node by steps of the grid, as the outline does. */
export function nudge(name: string, across: number, down: number): void {
  const { x = 0, y = 0 } = placeOf(currentDoc(), name) ?? {};
  const to = { x: x + across * SNAP_GRID, y: y + down * SNAP_GRID };
  edit(moveNodes({ [name]: to }), words.edits.move, `nudge:${name}`);
  say(words.said.moved(titleOfNode(name)));
}
