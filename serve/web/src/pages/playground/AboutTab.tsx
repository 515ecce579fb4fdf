/** What a card says of its model. All of it is text that its author wrote. */
import type { ReactNode } from "react";

import type { Card } from "@/api/types";
import { pricesInWords } from "@/pages/catalogue/prices";
import { strings } from "@/strings";
import { duration } from "@/ui/quantities";
import { Chip } from "@/ui/words";

export function AboutTab({ card }: { card: Card }) {
  const words = strings.playground;
  const prices = pricesInWords(card);
  return (
    <div className="mx-auto w-full max-w-3xl p-6">
      {card.description && <p className="mb-6 text-md whitespace-pre-line">{card.description}</p>}
      <dl className="grid grid-cols-[auto_1fr] gap-x-8 gap-y-2">
        <Fact name={words.tasks}>{card.tasks.map((task) => strings.catalogue.tasks[task]).join(", ")}</Fact>
        <Fact name={words.price}>
          {card.prices === null ? strings.catalogue.unpriced : prices.join("; ") || strings.catalogue.free}
        </Fact>
        <Fact name={words.measuredColdStart}>
          {card.cold_start_seconds === null ? words.noColdStart : duration(card.cold_start_seconds)}
        </Fact>
        <Fact name={words.replicas}>{words.replicasOf(card.replicas.ready, card.replicas.desired)}</Fact>
        <Fact name={words.adapters}>
          {card.adapters.enabled ? words.adaptersTaken(card.adapters.max_per_call) : words.adaptersRefused}
        </Fact>
        <Fact name={words.playgroundOpen}>{card.playground ? words.yes : words.no}</Fact>
        {card.base_architecture && <Fact name={words.base}>{card.base_architecture}</Fact>}
        {card.license && <Fact name={words.license}>{card.license}</Fact>}
        <Fact name={words.digest}>
          <code className="font-mono text-sm">{card.digest}</code>
        </Fact>
        {card.tags.length > 0 && (
          <Fact name={words.tags}>
            <span className="flex flex-wrap gap-1">
              {card.tags.map((tag) => (
                <Chip key={tag}>{tag}</Chip>
              ))}
            </span>
          </Fact>
        )}
      </dl>
    </div>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <>
      <dt className="text-muted">{name}</dt>
      <dd>{children}</dd>
    </>
  );
}
