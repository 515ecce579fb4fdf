/** One model of the catalogue: what it makes first, then what it is, how it is doing and what it costs. */
import { Layers } from "lucide-react";
import { Link } from "wouter";

import type { Card } from "@/api/types";
import { strings } from "@/strings";
import { PortGlyph } from "@/ui/port-glyph";

import { CardExample } from "./CardExample";
import { ModelStateWord } from "./ModelStateWord";
import { priceInWords } from "./prices";

export function ModelCard({ card, numAdapters }: { card: Card; numAdapters: number }) {
  return (
    <li className="relative flex flex-col overflow-hidden rounded-md border border-line bg-surface transition-colors focus-within:border-focus hover:border-line-strong">
      <CardExample card={card} />
      <div className="flex flex-1 flex-col gap-2 p-4">
        <h2 className="text-lg font-semibold">
          {/* The whole card is the link; what else can be pressed lies above it. */}
          <Link href={`/models/${card.name}`} className="after:absolute after:inset-0 focus-visible:outline-none">
            {card.title}
          </Link>
        </h2>
        <ModelStateWord card={card} />
        <p className="flex flex-wrap gap-x-3 gap-y-1 text-sm text-muted">
          {card.tasks.map((task) => (
            <span key={task} className="inline-flex items-center gap-1.5">
              <PortGlyph type={outputOf(task)} size={10} />
              {strings.catalogue.tasks[task]}
            </span>
          ))}
        </p>
        <p className="line-clamp-2 text-muted">{card.description}</p>
        <p className="mt-auto pt-1 font-medium">{priceInWords(card)}</p>
        <Foot card={card} numAdapters={numAdapters} />
      </div>
    </li>
  );
}

function outputOf(task: Card["tasks"][number]): string {
  if (task === "embedding") return "embedding";
  return task === "chat" || task === "completion" ? "text" : "image";
}

function Foot({ card, numAdapters }: { card: Card; numAdapters: number }) {
  return (
    <div className="flex flex-wrap items-center gap-x-3 gap-y-1 border-t border-line pt-2 text-sm text-faint">
      {card.adapters.enabled && numAdapters > 0 && (
        <Link
          href={`/adapters?base=${encodeURIComponent(card.name)}`}
          aria-label={strings.catalogue.adaptersOf(numAdapters, card.title)}
          className="relative inline-flex items-center gap-1 text-muted underline decoration-line-strong underline-offset-2 hover:text-fg"
        >
          <Layers size={12} aria-hidden /> {strings.catalogue.adapters(numAdapters)}
        </Link>
      )}
      {card.license && <span title={strings.catalogue.license}>{card.license}</span>}
      {card.tags.length > 0 && (
        <ul aria-label={strings.catalogue.tags} className="flex flex-wrap gap-x-2">
          {card.tags.slice(0, 3).map((tag) => (
            <li key={tag}>#{tag}</li>
          ))}
        </ul>
      )}
    </div>
  );
}
