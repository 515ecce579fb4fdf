/** A list, each value with the widget of its kind. */
import { Plus, X } from "lucide-react";
import { useId } from "react";

import type { Json } from "@/api/types";
import { strings } from "@/strings";
import { Button, IconButton } from "@/ui/button";

import { plainOf, widgetOf } from "../fields";
import { hintOf, type WidgetProps } from "./props";
import { WidgetOf } from "./WidgetOf";

export function ListField(props: WidgetProps) {
  const { field, value, onChange, error, context } = props;
  const id = useId();
  const items = Array.isArray(value) ? value : value === null ? [] : [value];
  const schema = plainOf(field.schema);
  const itemSchema = schema.items ?? {};
  const told = error ?? hintOf(props);
  const put = (next: Json[]) => {
    onChange(next.length === 0 && !field.required ? null : next);
  };
  return (
    <div role="group" aria-labelledby={id} className="flex flex-col gap-1">
      <span id={id} className="text-sm text-muted">
        {field.title}
      </span>
      {items.map((item, index) => (
        <div key={index} className="flex items-end gap-1">
          <div className="min-w-0 flex-1">
            <WidgetOf
              field={{
                ...field,
                schema: itemSchema,
                required: true,
                title: strings.forms.item(field.title, index + 1),
                description: "",
                widget: widgetOf("", itemSchema),
              }}
              value={item}
              onChange={(next) => {
                put(items.map((one, place) => (place === index ? (next ?? "") : one)));
              }}
              context={context}
            />
          </div>
          <IconButton
            label={strings.forms.removeItem(index + 1)}
            disabled={context.disabled}
            onClick={() => {
              put(items.filter((_, place) => place !== index));
            }}
          >
            <X size={14} aria-hidden />
          </IconButton>
        </div>
      ))}
      <Button
        kind="quiet"
        className="self-start"
        disabled={context.disabled || items.length >= (schema.maxItems ?? Infinity)}
        onClick={() => {
          put([...items, emptyOf(itemSchema.type)]);
        }}
      >
        <Plus size={14} aria-hidden />
        {strings.forms.addItem}
      </Button>
      {told && <p className={error ? "text-sm text-bad" : "text-sm text-faint"}>{told}</p>}
    </div>
  );
}

function emptyOf(type: string | string[] | undefined): Json {
  if (type === "number" || type === "integer") return 0;
  if (type === "boolean") return false;
  if (type === "object") return {};
  return type === "array" ? [] : "";
}
