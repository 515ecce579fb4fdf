/** Everything that can be done on the canvas, once: hotkeys, menus, tools and the help read this table. */
import { strings } from "@/strings";
import type { MenuItem } from "@/ui/menu";

import * as do_ from "./commands";
import { useCanvasView } from "./view";
import * as viewport from "./viewport";

const words = strings.editor.canvas.acts;

export interface Act {
  label: string;
  /** `Ctrl+Shift+Z`; several separated by a space. Ctrl is the command key on a Mac. */
  keys?: string;
  run: () => void;
  /** Changes the document: not offered where it may only be looked at. */
  isEdit?: boolean;
  isDanger?: boolean;
}

const toggle = (name: "isOutlineOpen" | "isInspectorOpen" | "isMinimapShown" | "isSnapping" | "isHelpOpen") => () => {
  const view = useCanvasView.getState();
  view.set({ [name]: !view[name] });
};

export const ACTS = {
  addNode: { label: words.addNode, keys: "Space Ctrl+K", run: () => void do_.openPalette(), isEdit: true },
  addNote: { label: words.addNote, keys: "N", run: () => void do_.addNote(), isEdit: true },
  undo: { label: words.undo, keys: "Ctrl+Z", run: do_.undo, isEdit: true },
  redo: { label: words.redo, keys: "Ctrl+Shift+Z Ctrl+Y", run: do_.redo, isEdit: true },
  cut: { label: words.cut, keys: "Ctrl+X", run: do_.cut, isEdit: true },
  copy: { label: words.copy, keys: "Ctrl+C", run: do_.copy },
  paste: { label: words.paste, keys: "Ctrl+V", run: () => void do_.paste(false), isEdit: true },
  pasteLinked: { label: words.pasteLinked, keys: "Ctrl+Shift+V", run: () => void do_.paste(true), isEdit: true },
  duplicate: { label: words.duplicate, keys: "Ctrl+D", run: do_.duplicate, isEdit: true },
  remove: { label: words.remove, keys: "Delete Backspace", run: do_.removeSelected, isEdit: true, isDanger: true },
  selectAll: { label: words.selectAll, keys: "Ctrl+A", run: do_.selectAll },
  group: { label: words.group, keys: "Ctrl+G", run: do_.groupSelected, isEdit: true },
  ungroup: { label: words.ungroup, keys: "Ctrl+Shift+G", run: do_.ungroupSelected, isEdit: true },
  collapse: { label: words.collapse, keys: "C", run: do_.toggleCollapsed, isEdit: true },
  tidy: { label: words.tidy, keys: "Shift+T", run: do_.tidyUp, isEdit: true },
  snap: { label: words.snap, keys: "Shift+S", run: toggle("isSnapping") },
  minimap: { label: words.minimap, keys: "Shift+M", run: toggle("isMinimapShown") },
  outline: { label: words.outline, keys: "Shift+O", run: toggle("isOutlineOpen") },
  inspector: { label: words.inspector, keys: "Shift+I", run: toggle("isInspectorOpen") },
  fit: { label: words.fit, keys: "Shift+1", run: viewport.fit },
  zoomIn: { label: words.zoomIn, keys: "+ =", run: viewport.zoomIn },
  zoomOut: { label: words.zoomOut, keys: "-", run: viewport.zoomOut },
  zoomFull: { label: words.zoomFull, keys: "Shift+0", run: viewport.zoomFull },
  help: { label: words.help, keys: "?", run: toggle("isHelpOpen") },
  alignLeft: { label: words.alignLeft, run: () => void do_.alignTo("left"), isEdit: true },
  alignCenter: { label: words.alignCenter, run: () => void do_.alignTo("center"), isEdit: true },
  alignRight: { label: words.alignRight, run: () => void do_.alignTo("right"), isEdit: true },
  alignTop: { label: words.alignTop, run: () => void do_.alignTo("top"), isEdit: true },
  alignMiddle: { label: words.alignMiddle, run: () => void do_.alignTo("middle"), isEdit: true },
  alignBottom: { label: words.alignBottom, run: () => void do_.alignTo("bottom"), isEdit: true },
  distributeAcross: { label: words.distributeAcross, run: () => void do_.distributeAlong("x"), isEdit: true },
  distributeDown: { label: words.distributeDown, run: () => void do_.distributeAlong("y"), isEdit: true },
} satisfies Record<string, Act>;

export type ActName = keyof typeof ACTS;

export const ALIGNING: ActName[] = [
  "alignLeft",
  "alignCenter",
  "alignRight",
  "alignTop",
  "alignMiddle",
  "alignBottom",
  "distributeAcross",
  "distributeDown",
];

export function act(name: ActName): Act {
  return ACTS[name];
}

/** Acts as the items of a menu; those that change something are left out where nothing may be changed. */
export function itemsOf(names: readonly (ActName | null)[], isReadOnly = do_.isReadOnly()): (MenuItem | null)[] {
  const items = names.map((name) => (name === null ? null : { act: act(name) }));
  return items
    .filter((item) => item === null || !isReadOnly || !item.act.isEdit)
    .map((item) => item && { label: item.act.label, run: item.act.run, keys: shownKeys(item.act.keys), isDanger: item.act.isDanger });
}

/** The first of the keys, as people read it: "Ctrl Shift Z". */
export function shownKeys(keys: string | undefined): string | undefined {
  return keys?.split(" ")[0]?.replaceAll(/(?<=.)\+/g, " ");
}
