/** What the canvas shows besides the document: open panels and menus, and what was said last. Nothing of it is saved with the workflow. */
import { create } from "zustand";

import type { MenuItem } from "@/ui/menu";

export interface PortAt {
  node: string;
  port: string;
  side: "input" | "output";
}

/** The palette: where the new node goes (on the canvas), and the port that it is to be joined to. */
export interface Adding {
  at: { x: number; y: number } | null;
  join: PortAt | null;
}

/** A menu at a point of the window. */
export interface MenuAt {
  label: string;
  x: number;
  y: number;
  items: (MenuItem | null)[];
}

interface CanvasView {
  adding: Adding | null;
  menu: MenuAt | null;
  /** The group whose title is asked for. */
  naming: number | null;
  /** The new note that is to be written in at once. */
  writing: string | null;
  isOutlineOpen: boolean;
  isInspectorOpen: boolean;
  isMinimapShown: boolean;
  isSnapping: boolean;
  isHelpOpen: boolean;
  /** Nodes that show all of their inputs. */
  spread: ReadonlySet<string>;
  /** The field that the inspector is to show. */
  wantedField: { node: string; field: string } | null;
  said: { text: string; turn: number };
  set: (change: Partial<Omit<CanvasView, "set" | "say">>) => void;
  say: (text: string) => void;
}

export const useCanvasView = create<CanvasView>()((set, get) => ({
  adding: null,
  menu: null,
  naming: null,
  writing: null,
  isOutlineOpen: false,
  isInspectorOpen: true,
  isMinimapShown: true,
  isSnapping: false,
  isHelpOpen: false,
  spread: new Set(),
  wantedField: null,
  said: { text: "", turn: 0 },
  set: (change) => {
    set(change);
  },
  say: (text) => {
    set({ said: { text, turn: get().said.turn + 1 } });
  },
}));

/** Reads `text` out to whoever cannot see what changed. */
export function say(text: string): void {
  useCanvasView.getState().say(text);
}

export const SNAP_GRID = 16;
