/** What the node is called: its title for people, its name for links and results. */
import { useState } from "react";

import { isName } from "@/editor/core/names";
import { renameNode } from "@/editor/core/nodes";
import { setTitle } from "@/editor/core/placing";
import { nodeOf } from "@/editor/core/types";
import { strings } from "@/strings";
import { TextField } from "@/ui/fields";

import { edit, select } from "./commands";
import { usePlace, useTypeOf } from "./graph";
import { currentDoc } from "./opened";

const words = strings.editor.canvas;

export function InspectorNames({ name }: { name: string }) {
  const place = usePlace(name);
  const type = useTypeOf(name);
  return (
    <div className="flex flex-col gap-3">
      <TextField
        label={words.inspector.title}
        value={place?.title ?? ""}
        placeholder={type?.title ?? name}
        maxLength={120}
        onChange={(event) => {
          edit(setTitle(name, event.target.value), words.edits.title, `title:${name}`);
        }}
      />
      <NameField name={name} />
    </div>
  );
}

/** Renamed when the field is left: half a name is no name. */
function NameField({ name }: { name: string }) {
  const [draft, setDraft] = useState(name);
  const isTaken = draft !== name && nodeOf(currentDoc(), draft) !== undefined;
  const error = isTaken ? words.inspector.nameTaken : isName(draft) ? null : words.inspector.nameWrong;
  const commit = () => {
    if (error !== null || draft === name) {
      setDraft(name);
      return;
    }
    edit(renameNode(name, draft), words.edits.rename);
    select([draft]);
  };
  return (
    <TextField
      label={words.inspector.name}
      hint={words.inspector.nameHint}
      error={error}
      value={draft}
      className="font-mono"
      maxLength={40}
      spellCheck={false}
      onChange={(event) => {
        setDraft(event.target.value);
      }}
      onBlur={commit}
      onKeyDown={(event) => {
        if (event.key === "Enter") commit();
        if (event.key === "Escape") setDraft(name);
      }}
    />
  );
}
