/** The workflow that is on the canvas: its store, and what nodes there are. Acts, which no component owns, find it here. */
import { create, useStore } from "zustand";

import type { Doc } from "@/editor/core/types";
import type { NodeType } from "@/editor/node-types";
import type { EditorState, EditorStore } from "@/editor/store";

interface Opened {
  store: EditorStore;
  types: readonly NodeType[];
}

const useOpened = create<{ opened: Opened | null }>()(() => ({ opened: null }));

/** Called by the canvas before anything on it is drawn. */
export function open(store: EditorStore, types: readonly NodeType[]): void {
  const { opened } = useOpened.getState();
  if (opened?.store !== store || opened.types !== types) useOpened.setState({ opened: { store, types } });
}

function required(opened: Opened | null): Opened {
  if (opened === null) throw new Error("no workflow is open");
  return opened;
}

export function editor(): EditorState {
  return required(useOpened.getState().opened).store.getState();
}

/** Null where no workflow is open: acts then do nothing. */
export function editorStore(): EditorStore | null {
  return useOpened.getState().opened?.store ?? null;
}

export function useEditor<T>(selector: (state: EditorState) => T): T {
  return useStore(required(useOpened((all) => all.opened)).store, selector);
}

export function currentDoc(): Doc {
  return editor().document;
}

export function currentTypes(): readonly NodeType[] {
  return useOpened.getState().opened?.types ?? [];
}

export function useTypes(): readonly NodeType[] {
  return required(useOpened((all) => all.opened)).types;
}
