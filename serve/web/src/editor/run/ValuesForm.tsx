/** The form of a workflow's inputs: the App tab has it, and whoever runs from the canvas. */
import { useMemo } from "react";

import type { Json, Schemas } from "@/api/types";
import { checkValues } from "@/schema-form/checks";
import { fieldsOfInterface } from "@/schema-form/fields";
import { SchemaForm } from "@/schema-form/SchemaForm";
import { defaultsOf } from "@/schema-form/values";

import { inputErrors } from "./problems";
import { useWorkflowRun } from "./state";

type WorkflowInput = Schemas["WorkflowInput"];

export function useFieldsOf(inputs: WorkflowInput[]) {
  return useMemo(() => fieldsOfInterface(inputs), [inputs]);
}

/** The values as the form shows them: what was set, else the defaults. */
export function useShownValues(inputs: WorkflowInput[]): Record<string, Json> {
  const fields = useFieldsOf(inputs);
  const values = useWorkflowRun((store) => store.values);
  return useMemo(() => ({ ...defaultsOf(fields), ...values }), [fields, values]);
}

interface ValuesFormProps {
  inputs: WorkflowInput[];
  disabled?: boolean;
  /** Errors are shown once somebody tried to run, not before. */
  showErrors: boolean;
}

export function ValuesForm({ inputs, disabled, showErrors }: ValuesFormProps) {
  const fields = useFieldsOf(inputs);
  const shown = useShownValues(inputs);
  const setValue = useWorkflowRun((store) => store.setValue);
  const error = useWorkflowRun((store) => store.error ?? store.planError);
  const refused = inputErrors(
    error,
    inputs.map((one) => one.name),
  );
  const errors = showErrors ? { ...checkValues(fields, shown), ...refused } : refused;
  return <SchemaForm fields={fields} values={shown} onChange={setValue} errors={errors} disabled={disabled} />;
}
