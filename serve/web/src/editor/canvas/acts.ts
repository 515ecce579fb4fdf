/** Everything that can be done on the canvas, once: hotkeys, menus, tools and the help read this table. */
import { strings } from "@/strings";
import type { MenuItem } from "@/ui/menu";

import { addNoteHere, openPalette } from "./adding";
import * as arranging from "./arranging";
import * as clipboard from "./clipboard";
import * as commands from "./commands";
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
  addNode: { label: words.addNode, keys: "Space Ctrl+K", run: openPalette, isEdit: true },
  addNote: { label: words.addNote, keys: "N", run: addNoteHere, isEdit: true },
  undo: { label: words.undo, keys: "Ctrl+Z", run: commands.undo, isEdit: true },
  redo: { label: words.redo, keys: "Ctrl+Shift+Z Ctrl+Y", run: commands.redo, isEdit: true },
  cut: { label: words.cut, keys: "Ctrl+X", run: clipboard.cut, isEdit: true },
  copy: { label: words.copy, keys: "Ctrl+C", run: () => void clipboard.copy() },
  paste: { label: words.paste, keys: "Ctrl+V", run: () => void clipboard.paste(false), isEdit: true },
  pasteLinked: { label: words.pasteLinked, keys: "Ctrl+Shift+V", run: () => void clipboard.paste(true), isEdit: true },
  duplicate: { label: words.duplicate, keys: "Ctrl+D", run: clipboard.duplicate, isEdit: true },
  remove: { label: words.remove, keys: "Delete Backspace", run: commands.removeSelected, isEdit: true, isDanger: true },
  selectAll: { label: words.selectAll, keys: "Ctrl+A", run: commands.selectAll },
  group: { label: words.group, keys: "Ctrl+G", run: commands.groupSelected, isEdit: true },
  ungroup: { label: words.ungroup, keys: "Ctrl+Shift+G", run: commands.ungroupSelected, isEdit: true },
  collapse: { label: words.collapse, keys: "C", run: commands.toggleCollapsed, isEdit: true },
  tidy: { label: words.tidy, keys: "Shift+T", run: arranging.tidyUp, isEdit: true },
  snap: { label: words.snap, keys: "Shift+S", run: toggle("isSnapping") },
  minimap: { label: words.minimap, keys: "Shift+M", run: toggle("isMinimapShown") },
  outline: { label: words.outline, keys: "Shift+O", run: toggle("isOutlineOpen") },
  inspector: { label: words.inspector, keys: "Shift+I", run: toggle("isInspectorOpen") },
  fit: { label: words.fit, keys: "Shift+1", run: viewport.fit },
  zoomIn: { label: words.zoomIn, keys: "+ =", run: viewport.zoomIn },
  zoomOut: { label: words.zoomOut, keys: "-", run: viewport.zoomOut },
  zoomFull: { label: words.zoomFull, keys: "Shift+0", run: viewport.zoomFull },
  help: { label: words.help, keys: "?", run: toggle("isHelpOpen") },
  alignLeft: { label: words.alignLeft, run: () => void arranging.alignTo("left"), isEdit: true },
  alignCenter: { label: words.alignCenter, run: () => void arranging.alignTo("center"), isEdit: true },
  alignRight: { label: words.alignRight, run: () => void arranging.alignTo("right"), isEdit: true },
  alignTop: { label: words.alignTop, run: () => void arranging.alignTo("top"), isEdit: true },
  alignMiddle: { label: words.alignMiddle, run: () => void arranging.alignTo("middle"), isEdit: true },
  alignBottom: { label: words.alignBottom, run: () => void arranging.alignTo("bottom"), isEdit: true },
  distributeAcross: {
    label: words.distributeAcross,
    run: () => void arranging.distributeAlong("horizontal"),
    isEdit: true,
  },
  distributeDown: { label: words.distributeDown, run: () => void arranging.distributeAlong("vertical"), isEdit: true },
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
export function itemsOf(names: readonly (ActName | null)[], isReadOnly = commands.isReadOnly()): (MenuItem | null)[] {
  const items = names.map((name) => (name === null ? null : { act: act(name) }));
  return items
    .filter((item) => item === null || !isReadOnly || !item.act.isEdit)
    .map(
      (item) =>
        item && {
          label: item.act.label,
          run: item.act.run,
          keys: shownKeys(item.act.keys),
          isDanger: item.act.isDanger,
        },
    );
}

/** The first of the keys, as people read it: "Ctrl Shift Z". */
export function shownKeys(keys: string | undefined): string | undefined {
  return keys?.split(" ")[0]?.replaceAll(/(?<=.)\+/g, " ");
}
