/** The tools beside a mask. */
import { Brush, Eraser, Redo2, Undo2 } from "lucide-react";

import { strings } from "@/strings";
import { Button, IconButton } from "@/ui/button";
import { classes } from "@/ui/classes";
import { Slider } from "@/ui/slider";

import type { MaskAct } from "../mask";

interface MaskToolsProps {
  erases: boolean;
  onErases: (erases: boolean) => void;
  brush: number;
  maxBrush: number;
  onBrush: (size: number) => void;
  canUndo: boolean;
  canRedo: boolean;
  onUndo: () => void;
  onRedo: () => void;
  onAct: (act: MaskAct) => void;
}

export function MaskTools(props: MaskToolsProps) {
  const words = strings.forms;
  return (
    <div className="flex flex-wrap items-center gap-2">
      <Tool
        label={words.brush}
        isOn={!props.erases}
        onChoose={() => {
          props.onErases(false);
        }}
      >
        <Brush size={16} aria-hidden />
      </Tool>
      <Tool
        label={words.eraser}
        isOn={props.erases}
        onChoose={() => {
          props.onErases(true);
        }}
      >
        <Eraser size={16} aria-hidden />
      </Tool>
      <div className="w-56">
        <Slider
          label={words.brushSize}
          value={props.brush}
          onChange={props.onBrush}
          minimum={1}
          maximum={props.maxBrush}
          step={1}
        />
      </div>
      <IconButton label={words.undo} disabled={!props.canUndo} onClick={props.onUndo}>
        <Undo2 size={16} aria-hidden />
      </IconButton>
      <IconButton label={words.redo} disabled={!props.canRedo} onClick={props.onRedo}>
        <Redo2 size={16} aria-hidden />
      </IconButton>
      <Button
        onClick={() => {
          props.onAct({ kind: "clear" });
        }}
      >
        {words.clearMask}
      </Button>
      <Button
        onClick={() => {
          props.onAct({ kind: "invert" });
        }}
      >
        {words.invertMask}
      </Button>
    </div>
  );
}

interface ToolProps {
  label: string;
  isOn: boolean;
  onChoose: () => void;
  children: React.ReactNode;
}

function Tool({ label, isOn, onChoose, children }: ToolProps) {
  return (
    <IconButton
      label={label}
      aria-pressed={isOn}
      onClick={onChoose}
      className={classes(isOn && "bg-raised text-accent!")}
    >
      {children}
    </IconButton>
  );
}
