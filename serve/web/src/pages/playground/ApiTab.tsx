/** The form's call as programs to take along. */
import { useState } from "react";

import type { Card, Task } from "@/api/types";
import { hasPictures } from "@/playground/snippets/literals";
import { callOf, type Language, LANGUAGES, snippet, type Way, WAYS } from "@/playground/snippets/snippets";
import type { Playground } from "@/playground/usePlayground";
import { strings } from "@/strings";
import { CodeBlock } from "@/ui/code";
import { classes } from "@/ui/classes";

interface ApiTabProps {
  card: Card;
  task: Task;
  playground: Pick<Playground, "fields" | "values">;
}

export function ApiTab({ card, task, playground }: ApiTabProps) {
  const [language, setLanguage] = useState<Language>("curl");
  const [way, setWay] = useState<Way>("sync");
  const call = callOf(window.location.origin, card, task, playground.fields, playground.values);
  const words = strings.playground.api;
  return (
    <section aria-labelledby="as-program" className="mx-auto w-full max-w-3xl p-5">
      <h2 id="as-program" className="text-lg font-semibold">
        {words.title}
      </h2>
      <p className="mt-1 text-muted">
        {words.intro} {hasPictures(call.body as never) && words.picture}
      </p>
      <div className="my-3 flex flex-wrap gap-x-6 gap-y-2">
        <Choices
          label={words.language}
          names={words.languages}
          all={LANGUAGES}
          value={language}
          onChange={setLanguage}
        />
        <Choices label={words.way} names={words.ways} all={WAYS} value={way} onChange={setWay} />
      </div>
      <CodeBlock code={snippet(call, language, way)} label={words.languages[language]} />
      <p className="mt-2 text-sm text-faint">{words.needsKey}</p>
    </section>
  );
}

interface ChoicesProps<T extends string> {
  label: string;
  names: Record<T, string>;
  all: readonly T[];
  value: T;
  onChange: (value: T) => void;
}

function Choices<T extends string>({ label, names, all, value, onChange }: ChoicesProps<T>) {
  return (
    <div role="group" aria-label={label} className="flex flex-wrap gap-1">
      {all.map((one) => (
        <button
          key={one}
          type="button"
          aria-pressed={one === value}
          onClick={() => {
            onChange(one);
          }}
          className={classes(
            "h-6 rounded-full border px-2 text-sm whitespace-nowrap",
            one === value ? "border-accent text-fg" : "border-line text-muted hover:text-fg",
          )}
        >
          {names[one]}
        </button>
      ))}
    </div>
  );
}
