/** Copying nodes and notes, within a workflow and from one to another. What is copied is JSON that other pages read. */
import type { Json, NodeSpec } from "@/api/types";

import { freshName, isName } from "./names";
import { changedReferences, withPlace } from "./nodes";
import { addInterfaceInput } from "./exposing";
import { addNote, noteId, notesOf } from "./placing";
import {
  type Doc,
  type InterfaceInput,
  inputsOf,
  nodeOf,
  nodesOf,
  type Note,
  own,
  type Place,
  placeOf,
  type Point,
} from "./types";
import { isObject, writtenOf } from "./values";

export const CLIP_FORMAT = "slipway/nodes";

export interface Clip {
  format: typeof CLIP_FORMAT;
  nodes: Record<string, NodeSpec>;
  places: Record<string, Place>;
  notes: Note[];
  /** The inputs of the workflow that the nodes use. */
  inputs: InterfaceInput[];
}

export interface Pasted {
  document: Doc;
  /** What is new, to be selected: names of nodes, and notes as `note:<index>`. */
  ids: string[];
  /** The new names by the old ones. */
  names: Record<string, string>;
}

export interface PasteOptions {
  /** Where the upper left corner of it comes to lie; unset, beside where it was. */
  at?: Point;
  /** Whether links from nodes that are not copied are kept, where those nodes are in the document. */
  keepsLinks?: boolean;
}

const BESIDE = 40;
/** The server takes documents of 1 MiB. */
const MAX_CHARACTERS = 2 ** 20;

/** What is selected, to be pasted; null where that is nothing. */
export function copy(doc: Doc, names: readonly string[], noteIndexes: readonly number[] = []): Clip | null {
  const chosen = Object.entries(nodesOf(doc)).filter(([name]) => names.includes(name));
  const notes = notesOf(doc).filter((_, index) => noteIndexes.includes(index));
  if (chosen.length + notes.length === 0) return null;
  const places = chosen.map(([name]) => [name, placeOf(doc, name) ?? {}] as const);
  const used = new Set(chosen.flatMap(([, node]) => inputsUsed(node)));
  return {
    format: CLIP_FORMAT,
    nodes: Object.fromEntries(chosen),
    places: Object.fromEntries(places),
    notes,
    inputs: inputsOf(doc).filter((one) => used.has(one.name)),
  };
}

function inputsUsed(node: NodeSpec): string[] {
  const names: string[] = [];
  changedReferences(node, (one, whole) => {
    if (one.kind === "input") names.push(one.name);
    return whole;
  });
  return names;
}

/** The clip that a text from the clipboard is; null where it is something else, or more than a workflow may be. */
export function readClip(text: string): Clip | null {
  if (text.length > MAX_CHARACTERS) return null;
  try {
    const value = JSON.parse(text) as Json;
    return isObject(value) && value["format"] === CLIP_FORMAT && isClip(value) ? (value as unknown as Clip) : null;
  } catch {
    return null;
  }
}

function isClip(value: { [key: string]: Json }): boolean {
  const { nodes, places, notes, inputs } = value;
  if (!isObject(nodes) || !isObject(places) || !Array.isArray(notes) || !Array.isArray(inputs)) return false;
  const isNode = ([name, node]: [string, Json]) =>
    isName(name) && isObject(node) && typeof node["type"] === "string" && isObject(node["inputs"] ?? {});
  const isNamed = (one: Json) => isObject(one) && typeof one["name"] === "string" && typeof one["type"] === "string";
  const isPlace = (one: Json) => isObject(one) && [one["x"], one["y"]].every((at) => Number.isFinite(at ?? 0));
  const isNote = (one: Json) => isPlace(one) && isObject(one) && typeof one["text"] === "string";
  return (
    Object.entries(nodes).every(isNode) &&
    Object.values(places).every(isPlace) &&
    notes.every(isNote) &&
    inputs.every(isNamed)
  );
}

/** The document with a clip in it, under fresh names. */
export function paste(doc: Doc, clip: Clip, options: PasteOptions = {}): Pasted {
  const names = freshNames(doc, Object.keys(clip.nodes));
  const shift = shiftOf(clip, options.at);
  let next = doc;
  for (const [name, node] of Object.entries(clip.nodes)) {
    const pasted = renamedNode(doc, clip, node, names, options.keepsLinks ?? true);
    const fresh = names[name] as string;
    const place = own(clip.places, name) ?? {};
    next = { ...next, nodes: { ...next.nodes, [fresh]: pasted } };
    next = withPlace(next, fresh, { ...place, x: (place.x ?? 0) + shift.x, y: (place.y ?? 0) + shift.y });
  }
  const first = notesOf(doc).length;
  for (const note of clip.notes)
    next = addNote({ ...note, x: (note.x ?? 0) + shift.x, y: (note.y ?? 0) + shift.y })(next);
  const ids = [...Object.values(names), ...clip.notes.map((_, index) => noteId(first + index))];
  return { document: withInputsOf(doc, next, clip, Object.values(names)), ids, names };
}

export function duplicate(doc: Doc, names: readonly string[], noteIndexes: readonly number[] = []): Pasted {
  const clip = copy(doc, names, noteIndexes);
  return clip === null ? { document: doc, ids: [], names: {} } : paste(doc, clip);
}

function freshNames(doc: Doc, names: readonly string[]): Record<string, string> {
  const taken = new Set(Object.keys(nodesOf(doc)));
  const found = names.map((name) => {
    const fresh = freshName(name, (one) => taken.has(one));
    taken.add(fresh);
    return [name, fresh] as const;
  });
  return Object.fromEntries(found);
}

function shiftOf(clip: Clip, at: Point | undefined): Point {
  if (at === undefined) return { x: BESIDE, y: BESIDE };
  const all = [...Object.values(clip.places), ...clip.notes];
  if (all.length === 0) return at;
  const left = Math.min(...all.map(({ x = 0 }) => x));
  const top = Math.min(...all.map(({ y = 0 }) => y));
  return { x: at.x - left, y: at.y - top };
}

/** A node with its references led to the copies; those to what is not there go, or become the value that they had. */
function renamedNode(
  doc: Doc,
  clip: Clip,
  node: NodeSpec,
  names: Record<string, string>,
  keepsLinks: boolean,
): NodeSpec {
  return changedReferences(node, (one, whole) => {
    if (one.kind === "node") {
      const fresh = own(names, one.node);
      if (fresh !== undefined) return { $ref: [fresh, one.port] };
      return keepsLinks && nodeOf(doc, one.node) !== undefined ? whole : undefined;
    }
    const inputs = [...inputsOf(doc), ...clip.inputs];
    return inputs.some((input) => input.name === one.name) ? whole : undefined;
  });
}

/** With the inputs that the pasted nodes use. One of another type under the same name is another one: its value is
 * written down instead. */
function withInputsOf(doc: Doc, pasted: Doc, clip: Clip, names: readonly string[]): Doc {
  let next = pasted;
  for (const input of clip.inputs) {
    const there = inputsOf(doc).find((one) => one.name === input.name);
    if (there === undefined) next = addInterfaceInput(input)(next);
    else if (there.type !== input.type) next = names.reduce((all, name) => withoutInput(all, name, input), next);
  }
  return next;
}

function withoutInput(doc: Doc, name: string, input: InterfaceInput): Doc {
  const node = nodeOf(doc, name);
  if (node === undefined) return doc;
  const held = (input.default ?? null) as Json;
  const value = held === null ? undefined : writtenOf(held);
  const next = changedReferences(node, (one, whole) =>
    one.kind === "input" && one.name === input.name ? value : whole,
  );
  return { ...doc, nodes: { ...doc.nodes, [name]: next } };
}
