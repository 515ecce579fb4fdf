/**
 * The workflow on the canvas. Every edit is a function from a document to a document: `connect(types, from, to)(doc)`. It
 * changes nothing in place, keeps fields that it does not know, and the order of keys.
 */
export * from "./clipboard";
export * from "./connecting";
export * from "./exposing";
export * from "./nodes";
export * from "./placing";
export * from "./types";

import type { Doc, Edit } from "./types";

/** Several edits as one. */
export function all(...edits: readonly Edit[]): Edit {
  return (doc: Doc) => edits.reduce((next, edit) => edit(next), doc);
}
