/** A workflow that begins with one node: the playground's model with the form's values. */
import { ApiError, call } from "@/api/client";
import type { Card, Json, Task, WorkflowDocument } from "@/api/types";
import { nameOf } from "@/pages/workflows/workflow-names";
import type { FormField, Values } from "@/schema-form/fields";
import { adaptersOf, changedOf } from "@/schema-form/values";

const NODE = "paint";
const MAX_NAMES = 20;

/** The document: what differs from the defaults is written down, the pictures are its output. */
export function workflowOf(
  name: string,
  card: Card,
  task: Task,
  fields: FormField[],
  values: Values,
): WorkflowDocument {
  const inputs: Values = { ...changedOf(fields, values) };
  // A node of a workflow shows its steps anyway; unfinished pictures are for looking at one model.
  delete inputs["previews"];
  const adapters = adaptersOf(values);
  if (adapters.length > 0) inputs["adapters"] = adapters as unknown as Json;
  return {
    apiVersion: "slipway.dev/v1alpha1",
    kind: "Workflow",
    metadata: { name },
    spec: {
      title: card.title || card.name,
      interface: { inputs: [], outputs: [{ name: "images", from: [NODE, "images"] }] },
      nodes: { [NODE]: { type: `model:${card.name}`, task, inputs } },
    },
  } as unknown as WorkflowDocument;
}

/** Saves it as a draft under a name that is free, which is answered. Raises ApiError. */
export async function beginWorkflow(card: Card, task: Task, fields: FormField[], values: Values): Promise<string> {
  const base = nameOf(card.name);
  for (let number = 1; ; number += 1) {
    const name = number === 1 ? base : `${base}-${String(number)}`;
    try {
      await call(`/v1/workflows/${name}/draft`, {
        method: "PUT",
        headers: { "content-type": "application/json", "if-none-match": "*" },
        body: JSON.stringify(workflowOf(name, card, task, fields, values).spec),
      });
      return name;
    } catch (thrown) {
      const isTaken = thrown instanceof ApiError && (thrown.status === 409 || thrown.status === 412);
      if (!isTaken || number >= MAX_NAMES) throw thrown;
    }
  }
}
