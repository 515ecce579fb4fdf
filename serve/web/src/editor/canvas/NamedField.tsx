/** A name that is taken over when the field is left or Enter is pressed, and kept as it was where it is none. */
import { useState } from "react";

import { strings } from "@/strings";
import { TextField } from "@/ui/fields";

interface NamedFieldProps {
  label: string;
  value: string;
  isFine: (name: string) => boolean;
  onCommit: (name: string) => void;
}

export function NamedField({ label, value, isFine, onCommit }: NamedFieldProps) {
  const [draft, setDraft] = useState(value);
  const isWrong = !isFine(draft);
  const commit = () => {
    if (draft === value) return;
    if (isWrong) setDraft(value);
    else onCommit(draft);
  };
  return (
    <TextField
      label={label}
      isLabelHidden
      value={draft}
      spellCheck={false}
      maxLength={40}
      className="font-mono"
      error={isWrong ? strings.editor.canvas.inspector.nameWrong : null}
      onChange={(event) => {
        setDraft(event.target.value);
      }}
      onBlur={commit}
      onKeyDown={(event) => {
        if (event.key === "Enter") commit();
        if (event.key === "Escape") setDraft(value);
      }}
    />
  );
}
