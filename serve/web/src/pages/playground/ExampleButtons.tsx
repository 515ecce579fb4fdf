/** The card's examples for a task: one press fills in the form. */
import type { Card, Json, Task } from "@/api/types";
import { accepted } from "@/playground/sharing";
import type { Playground } from "@/playground/usePlayground";
import type { Values } from "@/schema-form/fields";
import { strings } from "@/strings";
import { Button } from "@/ui/button";

interface ExampleButtonsProps {
  card: Card;
  task: Task;
  playground: Playground;
}

export function ExampleButtons({ card, task, playground }: ExampleButtonsProps) {
  const examples = card.examples.map(read).filter((one) => one.input !== null && (one.task ?? card.tasks[0]) === task);
  if (examples.length === 0) return null;
  return (
    <div role="group" aria-label={strings.playground.examples} className="flex flex-wrap justify-center gap-2">
      {examples.map(({ title, input }) => (
        <Button
          key={title}
          className="h-auto max-w-72 py-1.5 whitespace-normal"
          onClick={() => {
            playground.reset();
            for (const [name, value] of Object.entries(accepted(playground.fields, input ?? {}, true)))
              playground.set(name, value);
          }}
        >
          {title}
        </Button>
      ))}
    </div>
  );
}

/** An example is its author's document: what is not as it should be is left out. */
function read(example: Record<string, unknown>): { title: string; task: string | null; input: Values | null } {
  const { title, task, input } = example as Record<string, Json | undefined>;
  const isRecord = typeof input === "object" && input !== null && !Array.isArray(input);
  const asked = isRecord && typeof input["prompt"] === "string" ? input["prompt"] : "";
  return {
    title: typeof title === "string" && title !== "" ? title : asked,
    task: typeof task === "string" ? task : null,
    input: isRecord ? input : null,
  };
}
