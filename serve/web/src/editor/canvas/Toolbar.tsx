/** The tools at the edge of the canvas: what the keyboard does, for the hand. */
import {
  AlignStartVertical,
  Grid3x3,
  Keyboard,
  ListTree,
  Map as MapIcon,
  Maximize,
  PanelRight,
  Plus,
  Redo2,
  StickyNote,
  Undo2,
  Workflow,
  ZoomIn,
  ZoomOut,
} from "lucide-react";
import type { LucideIcon } from "lucide-react";

import { strings } from "@/strings";
import { IconButton } from "@/ui/button";
import { classes } from "@/ui/classes";

import { act, type ActName, ALIGNING, itemsOf, shownKeys } from "./acts";
import { useEditor } from "./opened";
import { useCanvasView } from "./view";

const words = strings.editor.canvas;

export function Toolbar() {
  const view = useCanvasView();
  const isReadOnly = useEditor((store) => store.isReadOnly);
  const canUndo = useEditor((store) => store.history.past.length > 0);
  const canRedo = useEditor((store) => store.history.future.length > 0);
  return (
    <div
      role="toolbar"
      aria-label={words.toolbar}
      aria-orientation="vertical"
      className="absolute top-3 left-3 z-10 flex flex-col gap-0.5 rounded-md border border-line bg-raised p-0.5 shadow-float"
    >
      <Tool name="outline" icon={ListTree} isOn={view.isOutlineOpen} />
      {!isReadOnly && (
        <>
          <Tool name="addNode" icon={Plus} />
          <Tool name="addNote" icon={StickyNote} />
          <Line />
          <Tool name="undo" icon={Undo2} isDisabled={!canUndo} />
          <Tool name="redo" icon={Redo2} isDisabled={!canRedo} />
          <Line />
          <Tool name="tidy" icon={Workflow} />
          <AlignTool />
          <Tool name="snap" icon={Grid3x3} isOn={view.isSnapping} />
        </>
      )}
      <Line />
      <Tool name="zoomIn" icon={ZoomIn} />
      <Tool name="zoomOut" icon={ZoomOut} />
      <Tool name="fit" icon={Maximize} />
      <Tool name="minimap" icon={MapIcon} isOn={view.isMinimapShown} />
      <Line />
      <Tool name="inspector" icon={PanelRight} isOn={view.isInspectorOpen} />
      <Tool name="help" icon={Keyboard} />
    </div>
  );
}

function Line() {
  return <div role="separator" className="mx-1 my-0.5 h-px bg-line" />;
}

interface ToolProps {
  name: ActName;
  icon: LucideIcon;
  isOn?: boolean;
  isDisabled?: boolean;
}

function Tool({ name, icon: Icon, isOn, isDisabled }: ToolProps) {
  const { label, run, keys } = act(name);
  const shown = shownKeys(keys);
  return (
    <IconButton
      tipSide="right"
      label={shown ? `${label} · ${shown}` : label}
      aria-label={label}
      aria-pressed={isOn}
      disabled={isDisabled}
      onClick={run}
      className={classes(isOn && "text-fg")}
    >
      <Icon size={15} aria-hidden />
    </IconButton>
  );
}

function AlignTool() {
  return (
    <IconButton
      tipSide="right"
      label={words.acts.align}
      aria-haspopup="menu"
      onClick={(event) => {
        const { right, top } = event.currentTarget.getBoundingClientRect();
        const items = [...itemsOf(ALIGNING.slice(0, 6)), null, ...itemsOf(ALIGNING.slice(6))];
        useCanvasView.getState().set({ menu: { label: words.alignMenu, x: right + 6, y: top, items } });
      }}
    >
      <AlignStartVertical size={15} aria-hidden />
    </IconButton>
  );
}
