/** Words, choices and switches. */
import { strings } from "@/strings";
import { Select, TextArea, TextField } from "@/ui/fields";
import { Switch } from "@/ui/switch";

import { mayBeNull, plainOf } from "../fields";
import { hintOf, type WidgetProps } from "./props";

export function ParagraphField(props: WidgetProps) {
  const { field, value, onChange, error, context } = props;
  const isMain = field.required;
  return (
    <TextArea
      label={field.title}
      hint={hintOf(props)}
      error={error}
      disabled={context.disabled}
      rows={isMain ? 4 : 2}
      value={textOf(value)}
      onChange={(event) => {
        onChange(event.target.value);
      }}
    />
  );
}

export function LineField(props: WidgetProps) {
  const { field, value, onChange, error, context } = props;
  return (
    <TextField
      label={field.title}
      hint={hintOf(props)}
      error={error}
      disabled={context.disabled}
      value={textOf(value)}
      onChange={(event) => {
        const text = event.target.value;
        onChange(text === "" && mayBeNull(field.schema) ? null : text);
      }}
    />
  );
}

export function ChoiceField(props: WidgetProps) {
  const { field, value, onChange, error, context } = props;
  const choices = plainOf(field.schema).enum ?? [];
  const options = choices.map((choice) => ({ value: JSON.stringify(choice), label: String(choice) }));
  const hasNone = mayBeNull(field.schema) || value === null;
  return (
    <Select
      label={field.title}
      hint={hintOf(props)}
      error={error}
      disabled={context.disabled}
      value={value === null ? "" : JSON.stringify(value)}
      options={hasNone ? [{ value: "", label: strings.forms.none }, ...options] : options}
      onChange={(event) => {
        onChange(choices.find((choice) => JSON.stringify(choice) === event.target.value) ?? null);
      }}
    />
  );
}

export function ToggleField(props: WidgetProps) {
  const { field, value, onChange, error, context } = props;
  const told = error ?? hintOf(props);
  return (
    <div>
      <Switch label={field.title} checked={value === true} onChange={onChange} disabled={context.disabled} />
      {told && <p className={error ? "text-sm text-bad" : "text-sm text-faint"}>{told}</p>}
    </div>
  );
}

function textOf(value: WidgetProps["value"]): string {
  if (value === null) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}
