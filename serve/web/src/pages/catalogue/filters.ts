/** Which models are shown: a search and filters that live in the address, applied here as one types. */
import type { Card, Modality, Task } from "@/api/types";

export interface Filters {
  q: string;
  modality: Modality | null;
  task: Task | null;
  base: string | null;
}

export const MODALITIES: Modality[] = ["text", "image", "audio", "video", "embedding"];

export function filtersOf(query: string): Filters {
  const search = new URLSearchParams(query);
  const modality = search.get("modality");
  return {
    q: search.get("q") ?? "",
    modality: MODALITIES.find((one) => one === modality) ?? null,
    task: (search.get("task") as Task | null) ?? null,
    base: search.get("base"),
  };
}

/** The address's query; empty where nothing is filtered. */
export function queryOf({ q, modality, task, base }: Filters): string {
  const search = new URLSearchParams();
  if (q !== "") search.set("q", q);
  if (modality !== null) search.set("modality", modality);
  if (task !== null) search.set("task", task);
  if (base !== null) search.set("base", base);
  return search.toString();
}

/** Every word somewhere in name, title, description, tags or base; a modality among what comes out. */
export function matching(cards: Card[], filters: Filters): Card[] {
  const words = filters.q.toLowerCase().split(/\s+/).filter(Boolean);
  return cards.filter((card) => {
    const { name, title, description, tags, base_architecture: base } = card;
    const text = [name, title, description, base, ...tags].join(" ").toLowerCase();
    return (
      words.every((word) => text.includes(word)) &&
      (filters.modality === null || card.modalities.output.includes(filters.modality)) &&
      (filters.task === null || card.tasks.includes(filters.task)) &&
      (filters.base === null || base === filters.base)
    );
  });
}

const TO_LOOK_AT: Modality[] = ["image", "video"];

/** What makes something to look at comes first; otherwise the API's order stays. */
export function picturesFirst(cards: Card[]): Card[] {
  const isSeen = ({ modalities }: Card) => modalities.output.some((one) => TO_LOOK_AT.includes(one));
  return [...cards.filter(isSeen), ...cards.filter((card) => !isSeen(card))];
}

/** Modalities that any model puts out, in one order, with how many do. */
export function outputsOf(cards: Card[]): { modality: Modality; count: number }[] {
  return MODALITIES.map((modality) => ({
    modality,
    count: cards.filter((card) => card.modalities.output.includes(modality)).length,
  })).filter(({ count }) => count > 0);
}

export function tasksOf(cards: Card[]): Task[] {
  return [...new Set(cards.flatMap((card) => card.tasks))].sort();
}
