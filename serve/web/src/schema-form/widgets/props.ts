/** What every widget of a form is given. */
import type { Json } from "@/api/types";

import type { FormField, Values } from "../fields";

/** The form around a widget: masks look for their picture, seeds for the last run's. */
export interface FormContext {
  fields: FormField[];
  values: Values;
  onChange: (name: string, value: Json) => void;
  /** Several that are one choice, as a width and a height. */
  onChangeAll: (values: Values) => void;
  errors: Record<string, string>;
  disabled: boolean;
  model?: string;
  lastValues?: Values;
  explain: boolean;
  renderAside?: (field: FormField) => React.ReactNode;
}

export interface WidgetProps {
  field: FormField;
  value: Json;
  onChange: (value: Json) => void;
  error?: string;
  context: FormContext;
}

/** What the field says of itself, where the form explains. */
export function hintOf({ field, context }: Pick<WidgetProps, "field" | "context">): string | undefined {
  return context.explain && field.description !== "" ? field.description : undefined;
}
