/** Edits of how a workflow is drawn: places, titles, groups and notes. None of them changes what it does. */
import { filterItems, mapItems, patched, withPart } from "./records";
import { withPlace } from "./nodes";
import { type Doc, type Edit, type Group, nodeOf, type Note, placeOf, type Point } from "./types";

/** Something that has a place on the canvas: a node by its name, a note as `note:<index>`. */
export type ItemId = string;

const NOTE = "note:";

export function noteId(index: number): ItemId {
  return `${NOTE}${String(index)}`;
}

/** The index of a note; null where `id` is a node. */
export function noteIndex(id: ItemId): number | null {
  return id.startsWith(NOTE) ? Number(id.slice(NOTE.length)) : null;
}

export function notesOf(doc: Doc): readonly Note[] {
  return doc.layout?.notes ?? [];
}

export function groupsOf(doc: Doc): readonly Group[] {
  return doc.layout?.groups ?? [];
}

/** Moves nodes, and notes (`note:0`), to these places. */
export function moveNodes(places: Readonly<Record<ItemId, Point>>): Edit {
  return (doc) => Object.entries(places).reduce((next, [id, { x, y }]) => moved(next, id, { x, y }), doc);
}

function moved(doc: Doc, id: ItemId, at: Point): Doc {
  const index = noteIndex(id);
  if (index !== null) return setNote(index, at)(doc);
  if (nodeOf(doc, id) === undefined) return doc;
  const { x = 0, y = 0 } = placeOf(doc, id) ?? {};
  return placeOf(doc, id) !== undefined && x === at.x && y === at.y ? doc : withPlace(doc, id, at);
}

/** A title in place of the node's name; none, where it is empty. */
export function setTitle(name: string, title: string): Edit {
  return (doc) => (nodeOf(doc, name) ? withPlace(doc, name, { title }) : doc);
}

/** Shows only the titles of these nodes, or all of them again. */
export function collapse(names: readonly string[], isCollapsed: boolean): Edit {
  const collapsed = isCollapsed || undefined;
  return (doc) => names.reduce((next, name) => (nodeOf(next, name) ? withPlace(next, name, { collapsed }) : next), doc);
}

function withNotes(doc: Doc, change: (notes: readonly Note[]) => readonly Note[]): Doc {
  return withPart(doc, "layout", (layout) => withPart(layout ?? {}, "notes", (notes) => changed(notes, change)));
}

function withGroups(doc: Doc, change: (groups: readonly Group[]) => readonly Group[]): Doc {
  return withPart(doc, "layout", (layout) => withPart(layout ?? {}, "groups", (groups) => changed(groups, change)));
}

/** Nothing stays nothing. */
function changed<T>(items: readonly T[] | undefined, change: (items: readonly T[]) => readonly T[]) {
  const next = change(items ?? []);
  return next.length === 0 && items === undefined ? undefined : next;
}

export function addNote(note: Note): Edit {
  return (doc) => withNotes(doc, (notes) => [...notes, note]);
}

export function setNote(index: number, patch: Partial<Note>): Edit {
  return (doc) =>
    withNotes(doc, (notes) =>
      mapItems(notes, (note, place) => {
        if (place !== index) return note;
        const { text = note.text, ...rest } = patch;
        const next = patched(note, rest);
        return text === next.text ? next : { ...next, text };
      }),
    );
}

export function removeNotes(indexes: Iterable<number>): Edit {
  const gone = new Set(indexes);
  return (doc) => withNotes(doc, (notes) => filterItems(notes, (_, index) => !gone.has(index)));
}

/** A frame around nodes; they leave the frames that they were in. */
export function group(names: readonly string[], title = "", color = ""): Edit {
  return (doc) => {
    const nodes = names.filter((name) => nodeOf(doc, name) !== undefined);
    if (nodes.length === 0) return doc;
    const frame: Group = { ...(title ? { title } : {}), ...(color ? { color } : {}), nodes };
    return withGroups(doc, (groups) => [...left(groups, new Set(nodes)), frame]);
  };
}

/** Takes frames away; the nodes in them stay. */
export function ungroup(indexes: Iterable<number>): Edit {
  const gone = new Set(indexes);
  return (doc) => withGroups(doc, (groups) => filterItems(groups, (_, index) => !gone.has(index)));
}

export function setGroup(index: number, patch: Pick<Group, "title" | "color">): Edit {
  return (doc) =>
    withGroups(doc, (groups) => mapItems(groups, (one, at) => (at === index ? patched(one, patch) : one)));
}

/** The groups without these nodes; one that becomes empty goes. */
function left(groups: readonly Group[], gone: ReadonlySet<string>): readonly Group[] {
  const rest = mapItems(groups, (one) =>
    withPart(one, "nodes", (nodes) => nodes && filterItems(nodes, (name) => !gone.has(name))),
  );
  return filterItems(rest, (one, index) => one === groups[index] || (one.nodes ?? []).length > 0);
}

/** What the workflow is called, what it does, and the words that it is found by. */
export function setWords(patch: Pick<Doc, "title" | "description" | "tags">): Edit {
  return (doc) => patched(doc, patch);
}
