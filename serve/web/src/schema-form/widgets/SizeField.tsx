/** Width and height as one: presets in the usual proportions, or two numbers. */
import { ArrowLeftRight } from "lucide-react";
import { useId, useState } from "react";

import { strings } from "@/strings";
import { IconButton } from "@/ui/button";
import { classes } from "@/ui/classes";

import { type FormField, mayBeNull, rangeOf } from "../fields";
import { type Size, sizesAround } from "../sizes";
import { NumberField } from "./NumberField";
import type { FormContext } from "./props";

export interface SizePair {
  width: FormField;
  height: FormField;
}

/** Pixels a side to offer where the model names none of its own. */
const USUAL_SIDE = 512;

/** The two fields that say how large a picture is, where both are there with bounds. */
export function sizePairOf(fields: FormField[]): SizePair | null {
  const width = fields.find((field) => field.name === "width");
  const height = fields.find((field) => field.name === "height");
  if (!width || !height || rangeOf(width.schema) === null || rangeOf(height.schema) === null) return null;
  return { width, height };
}

export function SizeField({ pair, context }: { pair: SizePair; context: FormContext }) {
  const id = useId();
  const width = context.values["width"] ?? null;
  const height = context.values["height"] ?? null;
  const sizes = presetsOf(pair);
  const isPreset = sizes.some((size) => size.width === width && size.height === height);
  const isOwn = width === null && height === null;
  const mayBeOwn = mayBeNull(pair.width.schema);
  const error = context.errors["width"] ?? context.errors["height"];
  const [isTyped, setTyped] = useState(!isPreset && !isOwn);
  const isOpen = isTyped || error !== undefined || (!isPreset && !isOwn);
  const set = (size: Size | null) => {
    context.onChangeAll({ width: size?.width ?? null, height: size?.height ?? null });
  };
  return (
    <div role="group" aria-labelledby={id} className="flex flex-col gap-1">
      <div className="flex items-center justify-between gap-2">
        <span id={id} className="text-sm text-muted">
          {strings.forms.size}
        </span>
        {context.renderAside && (
          <div className="-my-1 flex gap-1">
            {context.renderAside(pair.width)}
            {context.renderAside(pair.height)}
          </div>
        )}
      </div>
      <div className="flex flex-wrap gap-1">
        {mayBeOwn && (
          <Choice
            label={strings.forms.ownSize}
            isChosen={isOwn && !isTyped}
            disabled={context.disabled}
            onChoose={() => {
              setTyped(false);
              set(null);
            }}
          />
        )}
        {sizes.map((size) => (
          <Choice
            key={`${String(size.width)}x${String(size.height)}`}
            label={strings.forms.pixels(size.width, size.height)}
            isChosen={!isTyped && size.width === width && size.height === height}
            disabled={context.disabled}
            onChoose={() => {
              setTyped(false);
              set(size);
            }}
          />
        ))}
        <Choice
          label={strings.forms.customSize}
          isChosen={isOpen}
          disabled={context.disabled}
          onChoose={() => {
            setTyped(true);
          }}
        />
      </div>
      {isOpen && <Typed pair={pair} context={context} />}
    </div>
  );
}

function Typed({ pair, context }: { pair: SizePair; context: FormContext }) {
  const side = (field: FormField) => (
    <div className="min-w-0 flex-1" data-field={field.name}>
      <NumberField
        field={field}
        value={context.values[field.name] ?? null}
        onChange={(value) => {
          context.onChange(field.name, value);
        }}
        error={context.errors[field.name]}
        context={context}
      />
    </div>
  );
  return (
    <div className="flex items-start gap-1 pt-1">
      {side(pair.width)}
      <IconButton
        label={strings.forms.swapSides}
        className="mt-5"
        disabled={context.disabled}
        onClick={() => {
          const { width = null, height = null } = context.values;
          context.onChangeAll({ width: height, height: width });
        }}
      >
        <ArrowLeftRight size={14} aria-hidden />
      </IconButton>
      {side(pair.height)}
    </div>
  );
}

interface ChoiceProps {
  label: string;
  isChosen: boolean;
  disabled: boolean;
  onChoose: () => void;
}

function Choice({ label, isChosen, disabled, onChoose }: ChoiceProps) {
  return (
    <button
      type="button"
      aria-pressed={isChosen}
      disabled={disabled}
      onClick={onChoose}
      className={classes(
        "h-6 rounded-full border px-2 text-sm whitespace-nowrap transition-colors",
        isChosen ? "border-accent text-fg" : "border-line text-muted hover:border-line-strong hover:text-fg",
      )}
    >
      {label}
    </button>
  );
}

function presetsOf({ width, height }: SizePair): Size[] {
  const across = rangeOf(width.schema);
  const down = rangeOf(height.schema);
  if (across === null || down === null) return [];
  const own = typeof width.schema.default === "number" ? width.schema.default : USUAL_SIDE;
  return sizesAround(Math.min(own, across.maximum, down.maximum), across, down);
}
