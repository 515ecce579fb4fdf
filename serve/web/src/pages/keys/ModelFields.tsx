/** Which models a key may use, each alone or with adapters. */
import { useCatalogue } from "@/api/queries";
import { strings } from "@/strings";
import { Select } from "@/ui/fields";

import type { KeyForm } from "./state";

const WORDS = strings.keys.form;

interface ModelFieldsProps {
  chosen: KeyForm["models"];
  onChange: (chosen: KeyForm["models"]) => void;
}

export function ModelFields({ chosen, onChange }: ModelFieldsProps) {
  const cards = useCatalogue();
  const set = (name: string, use: "alone" | "adapters" | null) => {
    const { [name]: _, ...others } = chosen;
    onChange(use === null ? others : { ...others, [name]: use });
  };
  return (
    <fieldset>
      <legend className="text-sm text-muted">{WORDS.models}</legend>
      {cards.data?.map((card) => (
        <div key={card.name} className="flex min-h-8 items-center justify-between gap-2">
          <label className="flex items-center gap-2">
            <input
              type="checkbox"
              className="accent-accent"
              checked={card.name in chosen}
              onChange={({ target }) => {
                set(card.name, target.checked ? "alone" : null);
              }}
            />
            {card.name}
          </label>
          {card.name in chosen && card.adapters.enabled && (
            <Select
              label={card.name}
              isLabelHidden
              value={chosen[card.name]}
              options={[
                { value: "alone", label: WORDS.alone },
                { value: "adapters", label: WORDS.withAdapters },
              ]}
              onChange={({ target }) => {
                set(card.name, target.value === "adapters" ? "adapters" : "alone");
              }}
            />
          )}
        </div>
      ))}
      <p className="text-sm text-faint">{WORDS.modelsHint}</p>
    </fieldset>
  );
}
