/** Where an adapter is tried: the playground of a model that takes it, with the adapter chosen. */
import type { Adapter, Card, Json } from "@/api/types";
import { fragmentWith } from "@/playground/sharing";
import { ADAPTERS } from "@/schema-form/fields";

import { baseFor } from "./queries";

/** Null where no served model takes it. Its trigger words are a beginning of a prompt. */
export function tryPlace(adapter: Adapter, bases: Card[]): string | null {
  const base = baseFor(adapter, bases);
  const task = bases.find(({ name }) => name === base)?.tasks[0];
  if (base === null || task === undefined) return null;
  const values: Record<string, Json> = { [ADAPTERS]: [{ name: adapter.address, scale: adapter.default_scale }] };
  if (adapter.trigger_words.length > 0) values["prompt"] = adapter.trigger_words.join(", ");
  return `/models/${encodeURIComponent(base)}${fragmentWith(task, values)}`;
}
