/** A seed: drawn for every run where it is empty; the dice draw one now, the lock keeps the last run's. */
import { Dices, Lock, LockOpen } from "lucide-react";

import { strings } from "@/strings";
import { IconButton } from "@/ui/button";
import { classes } from "@/ui/classes";
import { CONTROL, Field } from "@/ui/fields";

import { hintOf, type WidgetProps } from "./props";

/** Short enough to read out and write down; the API takes up to 2**53. */
const MAX_DRAWN = 2 ** 32;

export function SeedField(props: WidgetProps) {
  const { field, value, onChange, error, context } = props;
  const last = context.lastValues?.[field.name];
  const isLocked = value !== null;
  return (
    <Field label={field.title} hint={hintOf(props)} error={error}>
      {(ids) => (
        <div className="flex gap-1">
          <input
            {...ids}
            type="number"
            min={0}
            step={1}
            disabled={context.disabled}
            placeholder={strings.forms.random}
            value={typeof value === "number" ? value : ""}
            onChange={(event) => {
              onChange(event.target.value === "" ? null : event.target.valueAsNumber);
            }}
            className={classes(CONTROL, "h-7 min-w-0 flex-1")}
          />
          <IconButton
            label={strings.forms.rollSeed}
            disabled={context.disabled}
            onClick={() => {
              onChange(drawnSeed());
            }}
          >
            <Dices size={16} aria-hidden />
          </IconButton>
          <IconButton
            label={isLocked ? strings.forms.unlockSeed : strings.forms.lockSeed}
            aria-pressed={isLocked}
            disabled={context.disabled}
            className={isLocked ? "text-accent!" : undefined}
            onClick={() => {
              onChange(isLocked ? null : typeof last === "number" ? last : drawnSeed());
            }}
          >
            {isLocked ? <Lock size={16} aria-hidden /> : <LockOpen size={16} aria-hidden />}
          </IconButton>
        </div>
      )}
    </Field>
  );
}

function drawnSeed(): number {
  return Math.floor(Math.random() * MAX_DRAWN);
}
