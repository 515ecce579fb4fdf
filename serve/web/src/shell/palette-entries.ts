/** What the palette finds: places, things of the platform by their names, acts on the page. */
import type { Adapter, Card, Run, Workflow } from "@/api/types";
import { strings } from "@/strings";
import { ago } from "@/ui/quantities";

import type { Place } from "./places";

const words = strings.shell.palette;

export interface Entry {
  /** One of its kind: tells entries apart that are called the same. */
  id: string;
  label: string;
  /** Right of the label: what it is, how it stands. */
  aside?: string;
  /** More words that find it. */
  keywords?: string[];
  path: string;
}

export interface Group {
  heading: string;
  entries: Entry[];
}

export interface Known {
  places: readonly Place[];
  models?: Card[];
  workflows?: Pick<Workflow, "name" | "title">[];
  adapters?: Adapter[];
  runs?: Run[];
}

const RUN_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Where `query` leads by itself: a run's id is an address, whether or not the run is among the latest. */
export function runOfQuery(query: string): string | null {
  const written = query.trim();
  return RUN_ID.test(written) ? `/runs/${written.toLowerCase()}` : null;
}

export function groupsOf(known: Known): Group[] {
  const groups: Group[] = [
    { heading: words.places, entries: known.places.map(({ path, name }) => ({ id: path, label: name, path })) },
    { heading: words.models, entries: (known.models ?? []).map(entryOfModel) },
    { heading: words.workflows, entries: (known.workflows ?? []).map(entryOfWorkflow) },
    { heading: words.adapters, entries: (known.adapters ?? []).map(entryOfAdapter) },
    { heading: words.runs, entries: (known.runs ?? []).map(entryOfRun) },
  ];
  return groups.filter(({ entries }) => entries.length > 0);
}

function entryOfModel(card: Card): Entry {
  return {
    id: `model ${card.name}`,
    label: card.title || card.name,
    aside: card.name,
    keywords: [card.name, ...card.tags, ...card.tasks],
    path: `/models/${encodeURIComponent(card.name)}`,
  };
}

function entryOfWorkflow({ name, title }: Pick<Workflow, "name" | "title">): Entry {
  return {
    id: `workflow ${name}`,
    label: title || name,
    aside: name,
    keywords: [name],
    path: `/w/${encodeURIComponent(name)}`,
  };
}

function entryOfAdapter(adapter: Adapter): Entry {
  return {
    id: `adapter ${adapter.id}`,
    label: adapter.title || adapter.name,
    aside: adapter.address,
    keywords: [adapter.name, ...adapter.trigger_words],
    path: `/adapters?adapter=${encodeURIComponent(adapter.address)}`,
  };
}

function entryOfRun(run: Run): Entry {
  return {
    id: `run ${run.id}`,
    label: run.workflow ?? run.model ?? run.id,
    aside: `${run.status}, ${ago(run.created_at)}`,
    keywords: [run.id, run.status],
    path: `/runs/${run.id}`,
  };
}
