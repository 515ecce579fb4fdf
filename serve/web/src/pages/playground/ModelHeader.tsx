/** The line above a model: what it is called, how it is doing, what it costs, and the ways to look at it. */
import type { Card, Task } from "@/api/types";
import { ModelStateWord } from "@/pages/catalogue/ModelStateWord";
import { priceInWords } from "@/pages/catalogue/prices";
import { strings } from "@/strings";
import { classes } from "@/ui/classes";
import { duration } from "@/ui/quantities";

export type ModelTab = "playground" | "api" | "about";

interface ModelHeaderProps {
  card: Card;
  task: Task;
  tab: ModelTab;
  /** Whether its code has a tab of its own. */
  hasApi: boolean;
  onTask: (task: Task) => void;
  onTab: (tab: ModelTab) => void;
}

export function ModelHeader({ card, task, tab, hasApi, onTask, onTab }: ModelHeaderProps) {
  const words = strings.playground;
  const tabs: ModelTab[] = hasApi ? ["playground", "api", "about"] : ["playground", "about"];
  const facts = [
    card.state === "ready" && card.cold_start_seconds !== null && words.coldStart(duration(card.cold_start_seconds)),
    priceInWords(card),
    card.base_architecture,
    card.license,
  ].filter((fact) => typeof fact === "string" && fact !== "");
  return (
    <div className="flex flex-wrap items-end justify-between gap-x-6 border-b border-line bg-surface px-4">
      <div className="flex min-w-0 flex-wrap items-baseline gap-x-3 gap-y-0.5 py-2">
        <h1 className="text-xl font-semibold">{card.title || card.name}</h1>
        <ModelStateWord card={card} />
        <p className="text-sm text-muted">{facts.join(" · ")}</p>
      </div>
      <div className="flex flex-wrap items-center gap-x-4">
        {card.tasks.length > 1 && tab !== "about" && (
          <div role="group" aria-label={words.task} className="flex gap-1 py-1">
            {card.tasks.map((one) => (
              <button
                key={one}
                type="button"
                aria-pressed={one === task}
                onClick={() => {
                  onTask(one);
                }}
                className={classes(
                  "h-6 rounded-full border px-2 text-sm whitespace-nowrap",
                  one === task ? "border-accent text-fg" : "border-line text-muted hover:text-fg",
                )}
              >
                {strings.catalogue.tasks[one]}
              </button>
            ))}
          </div>
        )}
        <nav aria-label={words.tabs.label} className="flex gap-4">
          {tabs.map((one) => (
            <button
              key={one}
              type="button"
              aria-current={one === tab ? "page" : undefined}
              onClick={() => {
                onTab(one);
              }}
              className="-mb-px h-9 border-b-2 border-transparent text-muted hover:text-fg aria-[current]:border-accent aria-[current]:font-medium aria-[current]:text-fg"
            >
              {words.tabs[one]}
            </button>
          ))}
        </nav>
      </div>
    </div>
  );
}
