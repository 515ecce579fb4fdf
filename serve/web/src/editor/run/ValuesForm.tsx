/** The form of a workflow's inputs: the App tab has it, and whoever runs from the canvas. */
import { useMemo } from "react";

import type { Schemas } from "@/api/types";
import { checkValues } from "@/schema-form/checks";
import { fieldsOfInterface, fieldsOfSchema } from "@/schema-form/fields";
import { SchemaForm } from "@/schema-form/SchemaForm";
import { defaultsOf } from "@/schema-form/values";

import type { ObjectSchema } from "../tabs/snippets/request";
import { inputErrors } from "./problems";
import { useWorkflowRun } from "./state";

type WorkflowInput = Schemas["WorkflowInput"];

/** The checked schema has the bounds of the ports behind the inputs, too; the document alone only its own. */
function useFieldsOf(inputs: WorkflowInput[], schema: ObjectSchema | null) {
  return useMemo(() => (schema === null ? fieldsOfInterface(inputs) : fieldsOfSchema(schema)), [inputs, schema]);
}

interface ValuesFormProps {
  inputs: WorkflowInput[];
  schema?: ObjectSchema | null;
  /** Errors are shown once somebody tried to run, not before. */
  showErrors: boolean;
}

export function ValuesForm({ inputs, schema = null, showErrors }: ValuesFormProps) {
  const fields = useFieldsOf(inputs, schema);
  const values = useWorkflowRun((store) => store.values);
  const shown = useMemo(() => ({ ...defaultsOf(fields), ...values }), [fields, values]);
  const setValue = useWorkflowRun((store) => store.setValue);
  const error = useWorkflowRun((store) => store.error ?? store.planError);
  const refused = inputErrors(
    error,
    inputs.map((one) => one.name),
  );
  const errors = showErrors ? { ...checkValues(fields, shown), ...refused } : refused;
  return <SchemaForm fields={fields} values={shown} onChange={setValue} errors={errors} />;
}
