/** What the workflow takes and answers as a whole: how calls and its form name it, and in which order. */
import type { Json } from "@/api/types";
import { moveInput, moveOutput, setInterfaceInput, setInterfaceOutput } from "@/editor/core/exposing";
import { unexposeInput, unexposeOutput } from "@/editor/core/exposing";
import type { InterfaceInput, InterfaceOutput } from "@/editor/core/types";
import { strings } from "@/strings";
import { Switch } from "@/ui/switch";

import { shortValue } from "./card-rows";
import { edit } from "./commands";
import { titleOfNode, titleOfPort, typeOfPort } from "./graph";
import { InterfaceList, type Side } from "./InterfaceList";
import { useEditor } from "./opened";

const words = strings.editor.canvas;
const NO_INPUTS: readonly InterfaceInput[] = [];
const NO_OUTPUTS: readonly InterfaceOutput[] = [];

const INPUTS: Side = { of: "input", move: moveInput, remove: unexposeInput, set: setInterfaceInput };
const OUTPUTS: Side = { of: "output", move: moveOutput, remove: unexposeOutput, set: setInterfaceOutput };

export function InspectorInterface() {
  const inputs = useEditor((store) => store.document.interface?.inputs) ?? NO_INPUTS;
  const outputs = useEditor((store) => store.document.interface?.outputs) ?? NO_OUTPUTS;
  return (
    <>
      <InterfaceList
        side={INPUTS}
        heading={words.inspector.inputs}
        empty={words.inspector.interface.noInputs}
        items={inputs}
        typeOf={({ type }) => type}
        renderMore={(input) => <InputMore input={input} />}
      />
      <InterfaceList
        side={OUTPUTS}
        heading={words.inspector.outputs}
        empty={words.inspector.interface.noOutputs}
        items={outputs}
        typeOf={({ from: [node = "", port = ""] }) => typeOfPort({ node, port, side: "output" })}
        renderMore={(output) => <OutputMore output={output} isOnly={outputs.length === 1} />}
      />
    </>
  );
}

/** What a run may leave out: an input with a default, and one that says so. */
function InputMore({ input }: { input: InterfaceInput }) {
  const fallback = (input.default ?? null) as Json;
  if (fallback !== null)
    return <p className="truncate text-sm text-faint">{words.inspector.interface.default(shortValue(fallback))}</p>;
  return (
    <Switch
      label={words.inspector.interface.required}
      checked={!input.optional}
      onChange={(isRequired) => {
        edit(setInterfaceInput(input.name, { optional: isRequired ? undefined : true }), words.edits.required);
      }}
    />
  );
}

function OutputMore({ output, isOnly }: { output: InterfaceOutput; isOnly: boolean }) {
  const [node = "", port = ""] = output.from;
  return (
    <>
      <p className="truncate text-sm text-faint">
        {words.inspector.from(titleOfNode(node), titleOfPort(node, port, "output"))}
      </p>
      {!isOnly && (
        <Switch
          label={words.inspector.interface.primary}
          checked={output.primary ?? false}
          onChange={(primary) => {
            edit(setInterfaceOutput(output.name, { primary }), words.edits.primary);
          }}
        />
      )}
    </>
  );
}
