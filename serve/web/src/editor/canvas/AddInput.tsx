/** Of operations that take any number of inputs: another one, under a name of its own (`value_color` for `{color}`). */
import { Plus } from "lucide-react";
import { useState } from "react";

import { isName } from "@/editor/core/names";
import { setInput } from "@/editor/core/nodes";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { TextField } from "@/ui/fields";

import { edit } from "./commands";
import { useManyInputs, useNode, useNodeProblems } from "./graph";
import { useCanvasView } from "./view";

const words = strings.editor.canvas;

export function AddInput({ name }: { name: string }) {
  const stems = useManyInputs(name);
  const problems = useNodeProblems(name);
  const node = useNode(name);
  return stems.map(({ stem, free, first }) => {
    const asked = problems
      .map(({ field }) => field?.replace(/^inputs\./, "") ?? "")
      .find((one) => one.startsWith(`${stem}_`) && isName(one) && node?.inputs?.[one] === undefined);
    return <OneMore key={`${stem}:${asked ?? free}`} node={name} stem={stem} free={asked ?? free} first={first} />;
  });
}

interface OneMoreProps {
  node: string;
  stem: string;
  /** A name that is not taken: one that is missing, where the workflow asks for one. */
  free: string;
  first: string | number | boolean;
}

function OneMore({ node, stem, free, first }: OneMoreProps) {
  const [tail, setTail] = useState(free.slice(stem.length + 1));
  const wanted = `${stem}_${tail}`;
  const add = () => {
    if (!isName(wanted)) return;
    edit(setInput(node, wanted, first), words.edits.value(wanted));
    // On to what it is to be.
    useCanvasView.getState().set({ wantedField: { node, field: wanted } });
  };
  return (
    <div className="flex items-end gap-2" data-field={free}>
      <div className="min-w-0 flex-1">
        <TextField
          label={words.inspector.newInputName(stem)}
          value={tail}
          className="font-mono"
          error={isName(wanted) ? null : words.inspector.nameWrong}
          onChange={(event) => {
            setTail(event.target.value);
          }}
          onKeyDown={(event) => {
            if (event.key === "Enter") add();
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
