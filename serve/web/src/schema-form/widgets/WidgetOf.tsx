/** Which widget enters a field: an explicit table, and JSON for what nobody thought of. */
import type { ComponentType } from "react";

import { AdaptersField, OneAdapterField } from "./AdaptersField";
import { ImageField } from "./ImageField";
import { JsonField } from "./JsonField";
import { ListField } from "./ListField";
import { MaskField } from "./MaskField";
import { NumberField, SliderField } from "./NumberField";
import type { WidgetProps } from "./props";
import { SeedField } from "./SeedField";
import { ChoiceField, LineField, ParagraphField, ToggleField } from "./TextFields";

const WIDGETS: Record<string, ComponentType<WidgetProps>> = {
  textarea: ParagraphField,
  text: LineField,
  model: LineField,
  number: NumberField,
  slider: SliderField,
  seed: SeedField,
  select: ChoiceField,
  toggle: ToggleField,
  switch: ToggleField,
  adapters: AdaptersField,
  adapter: OneAdapterField,
  image: ImageField,
  audio: ImageField,
  video: ImageField,
  mask: MaskField,
  texts: ListField,
  list: ListField,
  json: JsonField,
  embedding: JsonField,
};

export function WidgetOf(props: WidgetProps) {
  const Widget = WIDGETS[props.field.widget ?? ""] ?? JsonField;
  return <Widget {...props} />;
}
