/** Context menus: of a card, a link, a group, the canvas. Each also opens from the keyboard. */
import { ungroup } from "@/editor/core/placing";
import { WHEN } from "@/editor/core/types";
import { startRun } from "@/editor/run/running";
import { strings } from "@/strings";
import type { MenuItem } from "@/ui/menu";

import { itemsOf } from "./acts";
import { disconnectLinks, edit, isReadOnly, select } from "./commands";
import { openPorts, openTargetsAt } from "./connecting";
import { portsAt, titleOfNode } from "./graph";
import { editor } from "./opened";
import { useCanvasView } from "./view";
import { flushed, placeUnder } from "./viewport";

const words = strings.editor.canvas;

interface At {
  x: number;
  y: number;
}

function openMenu(label: string, { x, y }: At, items: (MenuItem | null)[]): void {
  useCanvasView.getState().set({ menu: { label, x, y, items } });
}

export function openNodeMenu(name: string, at: At): void {
  if (!editor().selection.includes(name)) select([name]);
  const title = titleOfNode(name);
  const own: (MenuItem | null)[] = [
    {
      label: words.acts.openInspector,
      run: () => {
        useCanvasView.getState().set({ isInspectorOpen: true });
      },
    },
  ];
  const changing: (MenuItem | null)[] = [
    {
      label: words.outline.connectTo,
      run: () => {
        openPorts(words.outline.connect(title), portsAt(name), at);
      },
    },
    {
      label: words.acts.runOnlyWhen,
      run: () => {
        openTargetsAt({ node: name, port: WHEN, side: "input" }, at);
      },
    },
    { label: words.acts.runToHere, run: () => void startRun({ targets: [name] }, flushed) },
    null,
    ...itemsOf(["cut", "copy", "duplicate", "collapse", "group", "ungroup", null, "remove"]),
  ];
  openMenu(words.menuFor(title), at, isReadOnly() ? [...own, ...itemsOf(["copy"])] : [...own, ...changing]);
}

export function openSelectionMenu(at: At): void {
  const aligning =
    editor().selection.length > 1 ? itemsOf([null, "alignLeft", "alignTop", "distributeAcross", "distributeDown"]) : [];
  const items = itemsOf(["cut", "copy", "duplicate", "collapse", "group", "ungroup", "tidy"]);
  openMenu(words.inspector.severalSelected(editor().selection.length), at, [
    ...items,
    ...aligning,
    null,
    ...itemsOf(["remove"]),
  ]);
}

export function openLinkMenu(id: string, told: string, at: At): void {
  if (isReadOnly()) return;
  const run = () => {
    disconnectLinks([id]);
  };
  openMenu(words.menuFor(told), at, [{ label: words.acts.disconnect, run, isDanger: true }]);
}

export function openGroupMenu(index: number, title: string, at: At): void {
  if (isReadOnly()) return;
  openMenu(words.menuFor(title), at, [
    {
      label: words.acts.renameGroup,
      run: () => {
        useCanvasView.getState().set({ naming: index });
      },
    },
    {
      label: words.acts.ungroup,
      run: () => {
        edit(ungroup([index]), words.edits.ungroup);
      },
    },
  ]);
}

export function openCanvasMenu(at: At): void {
  const add: MenuItem = {
    label: words.acts.addNode,
    keys: words.helpKeys.space,
    run: () => {
      useCanvasView.getState().set({ adding: { at: placeUnder(at), join: null } });
    },
  };
  const items = itemsOf(["addNote", "paste", "pasteLinked", null, "selectAll", "tidy", "fit", null, "outline", "help"]);
  openMenu(words.canvasMenu, at, isReadOnly() ? items : [add, ...items]);
}
