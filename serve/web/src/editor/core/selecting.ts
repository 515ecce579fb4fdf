/** What can be selected: nodes by their names, notes as `note:<index>`, links by their ids. */
import { linksOf } from "./links";
import { noteId, noteIndex, notesOf } from "./placing";
import { type Doc, nodeOf, nodesOf, own } from "./types";

/** Those of these that the document has. */
export function itemsThatAre(doc: Doc, ids: readonly string[], links: readonly string[]) {
  const there = links.length === 0 ? null : new Set(linksOf(doc).map((link) => link.id));
  return {
    ids: ids.filter((id) => isThere(doc, id)),
    links: links.filter((id) => there?.has(id)),
  };
}

function isThere(doc: Doc, id: string): boolean {
  const index = noteIndex(id);
  return index === null ? nodeOf(doc, id) !== undefined : index < notesOf(doc).length;
}

/** The items of `after` that are otherwise, or not there, in `before`. */
export function itemsChanged(before: Doc, after: Doc): string[] {
  const [places, old] = [after.layout?.nodes, before.layout?.nodes];
  const nodes = Object.keys(nodesOf(after)).filter(
    (name) => nodeOf(before, name) !== nodeOf(after, name) || own(old, name) !== own(places, name),
  );
  const notes = notesOf(after).flatMap((note, index) => (notesOf(before)[index] === note ? [] : [noteId(index)]));
  return [...nodes, ...notes];
}
