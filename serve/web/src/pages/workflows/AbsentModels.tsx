/** For each model that a file names and that is not here: which one takes its place. */
import type { NodeSpec, WorkflowSpec } from "@/api/types";
import { isOfModel, modelNamed, modelsFor } from "@/editor/core/models";
import { type NodeType, useNodeTypes } from "@/editor/node-types";
import { strings } from "@/strings";
import { Select } from "@/ui/fields";

import type { ModelChoices } from "./library";

interface AbsentModelsProps {
  document: WorkflowSpec;
  chosen: ModelChoices;
  onChoose: (models: ModelChoices) => void;
}

export function AbsentModels({ document, chosen, onChoose }: AbsentModelsProps) {
  const words = strings.workflows;
  const { data: types = [] } = useNodeTypes();
  const absent = absentModels(document, chosen, types);
  if (absent.length === 0) return null;
  return (
    <section className="flex flex-col gap-2">
      <h3 className="text-sm text-muted">{words.absentModels}</h3>
      {absent.map(({ name, node }) => (
        <Select
          key={name}
          label={words.inPlaceOf(name)}
          value={chosen[name] ?? ""}
          options={[
            { value: "", label: words.chooseLater },
            ...modelsFor(node, types).map((one) => ({ value: modelNamed(one), label: one.title })),
          ]}
          onChange={(event) => {
            const others = Object.entries(chosen).filter(([one]) => one !== name);
            const { value } = event.target;
            onChoose(Object.fromEntries(value === "" ? others : [...others, [name, value]]));
          }}
        />
      ))}
    </section>
  );
}

/** By the file's own names, each with a node that it is for; also those for which one has been chosen. */
function absentModels(document: WorkflowSpec, chosen: ModelChoices, types: readonly NodeType[]) {
  const here = new Set(types.map((one) => one.type));
  const found = new Map<string, NodeSpec>();
  for (const node of Object.values(document.nodes ?? {})) {
    if (!isOfModel(node)) continue;
    for (const [name, model] of Object.entries(chosen)) if (model === modelNamed(node)) found.set(name, node);
    if (types.length > 0 && !here.has(node.type)) found.set(modelNamed(node), node);
  }
  return [...found].map(([name, node]) => ({ name, node })).sort((one, other) => one.name.localeCompare(other.name));
}
