/** The form of a model's parameters. */
import { HelpCircle, RotateCcw } from "lucide-react";
import { useState } from "react";

import type { Card } from "@/api/types";
import type { Playground } from "@/playground/usePlayground";
import { SchemaForm } from "@/schema-form/SchemaForm";
import { strings } from "@/strings";
import { IconButton } from "@/ui/button";

export function ParameterForm({ card, playground }: { card: Card; playground: Playground }) {
  const [explains, setExplains] = useState(false);
  const words = strings.playground;
  return (
    <div className="relative flex-1 p-4">
      <div className="absolute top-2.5 right-3 flex">
        <IconButton label={words.startOver} onClick={playground.reset}>
          <RotateCcw size={14} aria-hidden />
        </IconButton>
        <IconButton
          label={words.explain}
          aria-pressed={explains}
          className={explains ? "text-accent!" : undefined}
          onClick={() => {
            setExplains(!explains);
          }}
        >
          <HelpCircle size={14} aria-hidden />
        </IconButton>
      </div>
      <SchemaForm
        fields={playground.fields}
        values={playground.values}
        onChange={playground.set}
        errors={playground.errors}
        model={card.name}
        lastValues={playground.lastValues}
        explain={explains}
      />
    </div>
  );
}
