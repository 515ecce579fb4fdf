/** A range with its number beside it: drag, use the arrow keys, or type. */
import { Slider as Radix } from "radix-ui";

import { strings } from "@/strings";

import { Field } from "./fields";

export interface SliderProps {
  label: string;
  /** NaN where none is set. */
  value: number;
  onChange: (value: number) => void;
  minimum: number;
  maximum: number;
  step: number;
  hint?: string;
  error?: string | null;
  disabled?: boolean;
}

export function Slider({ label, value, onChange, minimum, maximum, step, hint, error, disabled }: SliderProps) {
  return (
    <Field
      label={label}
      hint={hint}
      error={error}
      aside={
        <input
          type="number"
          aria-label={label}
          value={Number.isFinite(value) ? value : ""}
          placeholder={strings.forms.notSet}
          min={minimum}
          max={maximum}
          step={step}
          disabled={disabled}
          onChange={(event) => {
            if (event.target.value !== "") onChange(event.target.valueAsNumber);
          }}
          className="-mr-1 -my-1 h-6 w-20 rounded-sm border border-transparent bg-transparent px-1 text-right text-fg [appearance:textfield] hover:border-line-strong [&::-webkit-inner-spin-button]:appearance-none"
        />
      }
    >
      {(ids) => (
        <Radix.Root
          value={[Number.isFinite(value) ? Math.min(maximum, Math.max(minimum, value)) : minimum]}
          onValueChange={([next]) => {
            if (next !== undefined) onChange(next);
          }}
          min={minimum}
          max={maximum}
          step={step}
          disabled={disabled}
          className="relative flex h-5 touch-none items-center pointer-coarse:h-8"
        >
          <Radix.Track className="relative h-1 flex-1 rounded-full bg-line-strong">
            <Radix.Range className="absolute h-full rounded-full bg-accent" />
          </Radix.Track>
          <Radix.Thumb
            {...ids}
            aria-label={label}
            className="block size-3.5 rounded-full bg-fg before:absolute before:-inset-1.5"
          />
        </Radix.Root>
      )}
    </Field>
  );
}
