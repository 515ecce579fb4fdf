/** The card's examples for a task, with what came of them: one press fills in the form. */
import type { Card, Json, Task } from "@/api/types";
import { examplesOf } from "@/pages/catalogue/examples";
import { accepted } from "@/playground/sharing";
import type { Playground } from "@/playground/usePlayground";
import type { Values } from "@/schema-form/fields";
import { strings } from "@/strings";
import { Button } from "@/ui/button";
import { classes } from "@/ui/classes";

interface ExampleButtonsProps {
  card: Card;
  task: Task;
  playground: Playground;
}

export function ExampleButtons({ card, task, playground }: ExampleButtonsProps) {
  const pictures = examplesOf(card).map(({ images }) => images[0]);
  const examples = card.examples
    .map((example, index) => ({ ...read(example), picture: pictures[index] }))
    .filter((one) => one.input !== null && (one.task ?? card.tasks[0]) === task);
  if (examples.length === 0) return null;
  return (
    <div role="group" aria-label={strings.playground.examples} className="flex flex-wrap justify-center gap-3">
      {examples.map(({ title, input, picture }) => (
        <Button
          key={title}
          className={classes("h-auto flex-col", picture ? "w-36 justify-start px-1.5 pt-1.5 pb-1" : "max-w-72 py-1.5")}
          onClick={() => {
            playground.reset();
            for (const [name, value] of Object.entries(accepted(playground.fields, input ?? {}, true)))
              playground.set(name, value);
          }}
        >
          {picture !== undefined && (
            <img src={picture} alt="" className="aspect-square w-full rounded-sm object-cover" />
          )}
          <span className="whitespace-normal">{title}</span>
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
