/** The card's own examples, to begin with one of them. */
import type { Card, Task } from "@/api/types";
import { type Example, examplesOf } from "@/pages/catalogue/examples";
import { strings } from "@/strings";
import { Button } from "@/ui/button";

interface ExampleChipsProps {
  card: Card;
  task: Task;
  choose: (example: Example) => void;
}

export function ExampleChips({ card, task, choose }: ExampleChipsProps) {
  const examples = examplesOf(card).filter((one) => one.task === task && one.asked !== "");
  if (examples.length === 0) return null;
  return (
    <div className="flex flex-col items-center gap-2">
      <p className="text-sm text-faint">{strings.chat.examples}</p>
      <ul className="flex flex-wrap justify-center gap-2">
        {examples.map((example) => (
          <li key={example.asked}>
            <Button
              className="h-auto max-w-72 py-1.5 whitespace-normal"
              onClick={() => {
                choose(example);
              }}
            >
              {example.asked}
            </Button>
          </li>
        ))}
      </ul>
    </div>
  );
}
