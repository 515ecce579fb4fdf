/** Numbers: typed, or by a slider where the range is short. */
import { strings } from "@/strings";
import { TextField } from "@/ui/fields";
import { Slider } from "@/ui/slider";

import { plainOf, rangeOf, typeOf } from "../fields";
import { hintOf, type WidgetProps } from "./props";

export function NumberField(props: WidgetProps) {
  const { field, value, onChange, error, context } = props;
  const schema = plainOf(field.schema);
  return (
    <TextField
      type="number"
      label={field.title}
      hint={hintOf(props)}
      error={error}
      disabled={context.disabled}
      placeholder={field.required ? undefined : strings.forms.notSet}
      min={schema.minimum ?? schema.exclusiveMinimum}
      max={schema.maximum ?? schema.exclusiveMaximum}
      step={schema.multipleOf ?? (typeOf(schema) === "integer" ? 1 : "any")}
      value={typeof value === "number" ? value : ""}
      onChange={(event) => {
        onChange(event.target.value === "" ? null : event.target.valueAsNumber);
      }}
    />
  );
}

export function SliderField(props: WidgetProps) {
  const { field, value, onChange, error, context } = props;
  const range = rangeOf(field.schema);
  if (range === null) return <NumberField {...props} />;
  return (
    <Slider
      label={field.title}
      hint={hintOf(props)}
      error={error}
      disabled={context.disabled}
      value={typeof value === "number" ? value : Number.NaN}
      onChange={(next) => {
        onChange(Number(next.toPrecision(12)));
      }}
      {...range}
    />
  );
}
