/** Of operations that take any number of inputs: another one, under a name of its own (`value_color` for `{color}`). */
import { Plus } from "lucide-react";
import { useState } from "react";

import { isName } from "@/editor/core/names";
import { setInput } from "@/editor/core/nodes";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { TextField } from "@/ui/fields";

import { edit } from "./commands";
import { useManyInputs } from "./graph";

const words = strings.editor.canvas;

export function AddInput({ name }: { name: string }) {
  const stems = useManyInputs(name);
  return stems.map(({ stem, free, first }) => (
    <OneMore key={`${stem}:${free}`} node={name} stem={stem} free={free} first={first} />
  ));
}

interface OneMoreProps {
  node: string;
  stem: string;
  /** A name that is not taken. */
  free: string;
  first: string | number | boolean;
}

function OneMore({ node, stem, free, first }: OneMoreProps) {
  const [tail, setTail] = useState(free.slice(stem.length + 1));
  const wanted = `${stem}_${tail}`;
  const add = () => {
    if (isName(wanted)) edit(setInput(node, wanted, first), words.edits.value(wanted));
  };
  return (
    <div className="flex items-end gap-2">
      <div className="min-w-0 flex-1">
        <TextField
          label={words.inspector.newInputName(stem)}
          value={tail}
          className="font-mono"
          error={isName(wanted) ? null : words.inspector.nameWrong}
          onChange={(event) => {
            setTail(event.target.value);
          }}
        />
      </div>
      <Button onClick={add} disabled={!isName(wanted)}>
        <Plus size={13} aria-hidden />
        {words.inspector.addInput(stem)}
      </Button>
    </div>
  );
}
