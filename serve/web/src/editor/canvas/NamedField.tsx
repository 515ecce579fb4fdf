/** The name of an input or output of the workflow: taken over when the field is left or Enter is pressed, refused aloud. */
import { useState } from "react";

import { renameInput, renameOutput } from "@/editor/core/exposing";
import { nameFault } from "@/editor/core/names";
import { inputsOf, outputsOf } from "@/editor/core/types";
import { strings } from "@/strings";
import { TextField } from "@/ui/fields";

import { edit } from "./commands";
import { currentDoc } from "./opened";
import { say } from "./view";

const words = strings.editor.canvas;

interface NamedFieldProps {
  side: "input" | "output";
  label: string;
  name: string;
}

export function NamedField({ side, label, name }: NamedFieldProps) {
  // What was typed is for one name: renamed or undone elsewhere, the field shows that.
  const [typed, setTyped] = useState({ of: name, text: name });
  const draft = typed.of === name ? typed.text : name;
  const refusal = refusalOf(side, name, draft);
  const write = (text: string) => {
    setTyped({ of: name, text });
  };
  const commit = (): boolean => {
    if (draft === name) return true;
    if (refusal !== null) {
      say(words.inspector.notRenamed(refusal));
      return false;
    }
    edit((side === "input" ? renameInput : renameOutput)(name, draft), words.edits.rename);
    // An undo brings the old name back, and not what was typed in its place.
    setTyped({ of: draft, text: draft });
    return true;
  };
  return (
    <TextField
      label={label}
      isLabelHidden
      value={draft}
      spellCheck={false}
      maxLength={40}
      className="font-mono"
      error={refusal}
      onChange={(event) => {
        write(event.target.value);
      }}
      onBlur={() => {
        if (!commit()) write(name);
      }}
      onKeyDown={(event) => {
        if (event.key === "Enter") commit();
        if (event.key === "Escape") write(name);
      }}
    />
  );
}

function refusalOf(side: "input" | "output", own: string, wanted: string): string | null {
  const all = side === "input" ? inputsOf(currentDoc()) : outputsOf(currentDoc());
  const fault = nameFault(
    wanted,
    own,
    all.map(({ name }) => name),
  );
  if (fault === null) return null;
  return fault === "wrong" ? words.inspector.nameWrong : words.inspector.nameTakenBy[side];
}
