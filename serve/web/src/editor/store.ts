/**
 * What the editor holds of one workflow: the document with its past and future, what is selected, and how saving goes.
 * Made by `createEditorStore` for each workflow that is opened; `EditorStore.tsx` hands it to components.
 */
import { createStore, type StoreApi } from "zustand/vanilla";

import type { ApiError } from "@/api/errors";
import type { Problem } from "@/api/types";

import { closed, type History, NO_HISTORY, recorded, redone, undone } from "./core/history";
import { itemsChanged, itemsThatAre } from "./core/selecting";
import { type Doc, type Edit, WHEN } from "./core/types";
import type { Draft } from "./drafts";

export type SaveStatus = "saved" | "saving" | "dirty" | "offline" | "conflict" | "error" | "read-only";

/** Work of an earlier visit that was never saved. */
export interface LocalCopy {
  document: Doc;
  /** The state that it began with. */
  revision: string;
  /** When it was kept, as Date.now() tells it. */
  at: number;
}

export interface ApplyOptions {
  /** What it is, in a word or two: "undo <label>". */
  label: string;
  /** Edits of the same, one after the other, are one step: `move:<gesture>`, `value:node.port`. */
  coalesce?: string;
  /** Ids to be selected afterwards. */
  select?: readonly string[];
}

export interface EditorState {
  workflow: string;
  document: Doc;
  /** Ids of what is selected: nodes by name, notes as `note:<index>`. */
  selection: readonly string[];
  /** Ids of links that are selected. */
  selectedLinks: readonly string[];
  history: History<Doc>;
  isReadOnly: boolean;

  status: SaveStatus;
  /** Of the draft on the platform that the document goes back to. */
  revision: string;
  /** The document as it was saved last, or came. */
  saved: Doc;
  /** What the platform has found wrong with it; by node and port: `problemsAt`. */
  problems: readonly Problem[];
  /** Why it could not be saved. */
  error: ApiError | null;
  /** What somebody else saved while there were changes here. */
  conflict: Draft | null;
  /** Who saved the state that has just been taken over; to be told once. */
  changedBy: string | null;
  restorable: LocalCopy | null;
  /** The draft's own fields, as it was answered last. */
  draft: Omit<Draft, "workflow" | "problems">;

  /** Whether the document is another one afterwards. */
  apply: (edit: Edit, options: ApplyOptions) => boolean;
  /** Ends a gesture: the next edit is a step of its own. */
  settle: () => void;
  /** The label of what was undone; null where there was nothing to undo. */
  undo: () => string | null;
  redo: () => string | null;
  select: (ids: readonly string[], links?: readonly string[]) => void;
}

export type EditorStore = StoreApi<EditorState>;

export interface Opening {
  isReadOnly?: boolean;
  restorable?: LocalCopy | null;
}

export function createEditorStore(draft: Draft, { isReadOnly = false, restorable = null }: Opening = {}): EditorStore {
  const { workflow: document, problems, ...rest } = draft;
  return createStore<EditorState>()((set, get) => ({
    workflow: draft.name,
    document,
    selection: [],
    selectedLinks: [],
    history: NO_HISTORY,
    isReadOnly,
    status: isReadOnly ? "read-only" : "saved",
    revision: draft.revision,
    saved: document,
    problems,
    error: null,
    conflict: null,
    changedBy: null,
    restorable,
    draft: rest,
    apply: (edit, options) => apply(set, get, edit, options),
    settle: () => {
      set({ history: closed(get().history) });
    },
    undo: () => travel(set, get, undone),
    redo: () => travel(set, get, redone),
    select: (ids, links = []) => {
      const { selection, selectedLinks } = get();
      if (!isSame(ids, selection) || !isSame(links, selectedLinks)) set({ selection: ids, selectedLinks: links });
    },
  }));
}

/** A change that nobody made, as places for cards that have none: no step of undo, and by itself nothing to save. */
export function amend(store: EditorStore, change: Edit): void {
  const { document, saved } = store.getState();
  const next = change(document);
  if (next !== document) store.setState({ document: next, ...(saved === document ? { saved: next } : {}) });
}

type Set = (change: Partial<EditorState>) => void;
type Get = () => EditorState;

function apply(set: Set, get: Get, edit: Edit, { label, coalesce, select }: ApplyOptions): boolean {
  const { document, history, selection, selectedLinks, isReadOnly } = get();
  if (isReadOnly) return false;
  const next = edit(document);
  if (next === document) {
    if (select) set({ selection: select, selectedLinks: [] });
    return false;
  }
  const kept = itemsThatAre(next, selection, selectedLinks);
  set({
    document: next,
    history: recorded(history, document, label, coalesce ?? null),
    selection: select ?? kept.ids,
    selectedLinks: select ? [] : kept.links,
  });
  return true;
}

/** Selects what is otherwise afterwards: that is where to look. */
function travel(set: Set, get: Get, way: typeof undone<Doc>): string | null {
  const { document, history, selection, selectedLinks, isReadOnly } = get();
  const found = isReadOnly ? null : way(history, document);
  if (found === null) return null;
  const changed = itemsChanged(document, found.state);
  const kept = itemsThatAre(found.state, selection, selectedLinks);
  const label = (way === (undone<Doc>) ? history.past.at(-1) : history.future[0])?.label ?? "";
  set({
    document: found.state,
    history: found.history,
    selection: changed.length > 0 ? changed : kept.ids,
    selectedLinks: changed.length > 0 ? [] : kept.links,
  });
  return label;
}

function isSame(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((id, index) => id === other[index]);
}

/** The input that a problem is about; null where it is about the node, or the document. */
export function portOf({ field }: Pick<Problem, "field">): string | null {
  const [first, second] = (field ?? "").split(".");
  if (first === "when") return WHEN;
  return first === "inputs" ? (second ?? null) : null;
}

const grouped = new WeakMap<readonly Problem[], Map<string | null, Problem[]>>();
const NONE: readonly Problem[] = [];

/** The problems of a node (null: of the document), and of one of its inputs. */
export function problemsAt(problems: readonly Problem[], node: string | null, port?: string): readonly Problem[] {
  let byNode = grouped.get(problems);
  if (byNode === undefined) {
    byNode = new Map();
    for (const one of problems) byNode.set(one.node, [...(byNode.get(one.node) ?? []), one]);
    grouped.set(problems, byNode);
  }
  const found = byNode.get(node) ?? NONE;
  return port === undefined ? found : found.filter((one) => portOf(one) === port);
}
