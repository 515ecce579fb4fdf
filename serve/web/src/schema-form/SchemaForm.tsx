/** The product's one form: playground, App tab and inspector fill in the same fields with the same widgets. */
import { ChevronRight } from "lucide-react";
import { Fragment, type ReactNode } from "react";

import type { Json } from "@/api/types";
import { strings } from "@/strings";

import type { FormField, Values } from "./fields";
import type { FormContext } from "./widgets/props";
import { SizeField, sizePairOf } from "./widgets/SizeField";
import { WidgetOf } from "./widgets/WidgetOf";

export interface SchemaFormProps {
  fields: FormField[];
  values: Values;
  /** Null takes a value away. */
  onChange: (name: string, value: Json) => void;
  /** Several values that are one choice, as a width and a height; one after the other where this is not given. */
  onChangeAll?: (values: Values) => void;
  errors: Record<string, string>;
  disabled?: boolean;
  /** Beside each field: the inspector's "as an input", for one. */
  renderAside?: (field: FormField) => ReactNode;
  /** The model whose adapters are offered. */
  model?: string;
  /** What the last run was given: locking a seed keeps that one. */
  lastValues?: Values;
  /** Whether every field says what it is for. */
  explain?: boolean;
}

export function SchemaForm(props: SchemaFormProps) {
  const plain = props.fields.filter((field) => !field.advanced);
  const advanced = props.fields.filter((field) => field.advanced);
  const hasFault = advanced.some((field) => props.errors[field.name] !== undefined);
  return (
    <div className="flex flex-col gap-3">
      <Groups {...props} shown={plain} />
      {advanced.length > 0 && (
        <details className="group border-t border-line pt-2" open={hasFault || undefined}>
          <summary className="flex h-7 cursor-pointer list-none items-center gap-1 text-muted hover:text-fg">
            <ChevronRight size={14} aria-hidden className="transition-transform group-open:rotate-90" />
            {strings.forms.advanced}
          </summary>
          <div className="flex flex-col gap-3 pt-2">
            <Groups {...props} shown={advanced} hasHeadings />
          </div>
        </details>
      )}
    </div>
  );
}

/** Fields one after the other; a width and a height that stand together are one field. */
function Groups({
  shown,
  hasHeadings = false,
  ...props
}: SchemaFormProps & { shown: FormField[]; hasHeadings?: boolean }) {
  const pair = sizePairOf(shown);
  const { disabled = false, explain = false, onChangeAll = oneByOne(props.onChange) } = props;
  const context: FormContext = { ...props, disabled, explain, onChangeAll };
  return shown
    .filter((field) => field !== pair?.height)
    .map((field, index, all) => (
      <Fragment key={field.name}>
        {hasHeadings && field.group && field.group !== all[index - 1]?.group && (
          <h3 className="pt-1 text-sm font-semibold">{field.group}</h3>
        )}
        {field === pair?.width ? (
          <SizeField pair={pair} context={context} />
        ) : (
          <OneField field={field} context={context} aside={props.renderAside?.(field)} />
        )}
      </Fragment>
    ));
}

function oneByOne(onChange: SchemaFormProps["onChange"]) {
  return (values: Values) => {
    for (const [name, value] of Object.entries(values)) onChange(name, value);
  };
}

function OneField({ field, context, aside }: { field: FormField; context: FormContext; aside: ReactNode }) {
  const widget = (
    <WidgetOf
      field={field}
      value={context.values[field.name] ?? null}
      onChange={(value) => {
        context.onChange(field.name, value);
      }}
      error={context.errors[field.name]}
      context={context}
    />
  );
  if (!aside) return widget;
  return (
    <div className="flex items-start gap-1" data-field={field.name}>
      <div className="min-w-0 flex-1">{widget}</div>
      {aside}
    </div>
  );
}
