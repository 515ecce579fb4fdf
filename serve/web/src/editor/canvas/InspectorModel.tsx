/** Which model does the node's work, and which of its tasks: also the way on for a node whose model is not here. */
import { isOfModel, modelNamed, modelsFor, setModel, setTask, tasksOf } from "@/editor/core/models";
import { typeOfNode } from "@/editor/core/palette";
import { strings } from "@/strings";
import { Select } from "@/ui/fields";

import { edit } from "./commands";
import { useNode } from "./graph";
import { currentTypes, useTypes } from "./opened";

const words = strings.editor.canvas;

export function InspectorModel({ name }: { name: string }) {
  const node = useNode(name);
  const types = useTypes();
  if (node === undefined || !isOfModel(node)) return null;
  const models = modelsFor(node, types);
  const isHere = models.some((one) => one.type === node.type);
  const absent = { value: node.type, label: words.inspector.modelAbsent(modelNamed(node)) };
  const tasks = tasksOf(node, types);
  return (
    <div className="flex flex-col gap-3" data-field="type">
      <Select
        label={words.inspector.model}
        error={isHere ? null : words.inspector.chooseModel}
        value={node.type}
        options={[...(isHere ? [] : [absent]), ...models.map(({ type, title }) => ({ value: type, label: title }))]}
        onChange={(event) => {
          edit(setModel(name, event.target.value, currentTypes()), words.edits.model);
        }}
      />
      {tasks.length > 1 && (
        <Select
          label={words.inspector.task}
          value={node.task ?? typeOfNode(node, types)?.task ?? ""}
          options={tasks.map(({ task, category }) => ({ value: task ?? "", label: category }))}
          onChange={(event) => {
            edit(setTask(name, event.target.value), words.edits.task);
          }}
        />
      )}
    </div>
  );
}
