/** New nodes and notes: where they go, what they are joined to, and that they are looked at next. */
import { bestPort } from "@/editor/core/compatible";
import { connect } from "@/editor/core/connecting";
import { addNode, newNode } from "@/editor/core/nodes";
import { addNote as withNote, noteId, notesOf } from "@/editor/core/document";
import { placeBeside } from "@/editor/core/layout";
import { parseType } from "@/editor/core/port-types";
import type { Doc, Edit, Point } from "@/editor/core/types";
import type { NodeType } from "@/editor/node-types";
import { strings } from "@/strings";

import { edit } from "./commands";
import { typeOfPort } from "./graph";
import { currentDoc, currentTypes } from "./opened";
import { type Adding, type PortAt, say, SNAP_GRID, useCanvasView } from "./view";
import { focusNode, middle } from "./viewport";

const words = strings.editor.canvas;
const NEAR = 32;

export function openPalette(): void {
  useCanvasView.getState().set({ adding: { at: null, join: null } });
}

export function addFromPalette(type: NodeType, { at, join }: Adding): void {
  const types = currentTypes();
  const doc = currentDoc();
  const place =
    at ??
    (join ? placeBeside(doc, {}, join.node, join.side === "output" ? "after" : "before") : uncovered(doc, middle()));
  const node = newNode(doc, type, types, onGrid(place));
  const added = addNode(node);
  const linked = join ? joinedTo(added, type, node.name, join) : added;
  edit(linked, words.edits.add, undefined, [node.name]);
  say(words.said.added(type.title));
  focusNode(node.name);
}

/** The new node joined to the port that the link was dragged from, at the port of it that fits best. */
function joinedTo(added: Edit, type: NodeType, name: string, held: PortAt): Edit {
  const port = bestPort(type, parseType(typeOfPort(held)), held.side)?.port.name;
  if (port === undefined) return added;
  const [one, other] = [
    { node: held.node, port: held.port },
    { node: name, port },
  ];
  const link = held.side === "output" ? connect(currentTypes(), one, other) : connect(currentTypes(), other, one);
  return (doc) => link(added(doc));
}

/** The same place, or the next below to the right of it where no card begins. */
function uncovered(doc: Doc, { x, y }: Point): Point {
  const isNear = (one: Point) => Math.abs(one.x - x) < NEAR && Math.abs(one.y - y) < NEAR;
  const places = Object.values(doc.layout?.nodes ?? {}).map((one) => ({ x: one.x ?? 0, y: one.y ?? 0 }));
  return places.some(isNear) ? uncovered(doc, { x: x + NEAR, y: y + NEAR }) : { x, y };
}

function onGrid({ x, y }: Point): Point {
  const step = useCanvasView.getState().isSnapping ? SNAP_GRID : 1;
  return { x: Math.round(x / step) * step, y: Math.round(y / step) * step };
}

export function addNoteAt(at: Point | null): void {
  const notes = notesOf(currentDoc());
  const index = notes.length;
  const place = onGrid(at ?? middle());
  // Not on top of another one, which would be hidden.
  while (notes.some(({ x, y }) => x === place.x && y === place.y)) {
    place.x += NEAR;
    place.y += NEAR;
  }
  const note = { text: words.add.newNote, ...place, width: 208, height: 96 };
  edit(withNote(note), words.edits.note, undefined, [noteId(index)]);
  say(words.said.added(words.add.note));
}

export function addNoteHere(): void {
  useCanvasView.getState().set({ writing: noteId(notesOf(currentDoc()).length) });
  addNoteAt(null);
}
