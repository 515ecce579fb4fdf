/** What a minute may hold: of a key, a project or a tenant. */
import { strings } from "@/strings";
import { TextField } from "@/ui/fields";

const WORDS = strings.keys.form;
const NAMES = ["requests", "tokens", "images"] as const;

export type LimitTexts = Record<(typeof NAMES)[number], string>;

interface LimitFieldsProps {
  values: LimitTexts;
  onChange: (changed: Partial<LimitTexts>) => void;
  hint: string;
}

export function LimitFields({ values, onChange, hint }: LimitFieldsProps) {
  return (
    <fieldset className="flex flex-col gap-1">
      <legend className="text-sm text-muted">{WORDS.limits}</legend>
      <div className="grid grid-cols-3 gap-3">
        {NAMES.map((name) => (
          <TextField
            key={name}
            type="number"
            min={0}
            step={1}
            label={WORDS[name]}
            value={values[name]}
            onChange={({ target }) => {
              onChange({ [name]: target.value });
            }}
          />
        ))}
      </div>
      <p className="text-sm text-faint">{hint}</p>
    </fieldset>
  );
}
