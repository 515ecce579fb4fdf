/** The models that a page for `task` may ask: those of the catalogue that do it, and each with its adapters. */
import { useAdaptersByBase, useCatalogue } from "@/api/queries";
import type { Card, Task } from "@/api/types";
import type { Option } from "@/ui/fields";

/** `card` and its adapters first; the others after it, where `others` are wanted. */
export function useModelChoices(card: Card, task: Task, others: boolean): Option[] {
  const adapters = useAdaptersByBase().data;
  const cards = useCatalogue().data ?? [];
  const rest = others ? cards.filter((one) => one.name !== card.name && one.tasks.includes(task)) : [];
  return [card, ...rest].flatMap((one) => [
    { value: one.name, label: one.name },
    ...(one.adapters.enabled ? (adapters?.get(one.name) ?? []) : []).map((name) => ({ value: name, label: name })),
  ]);
}
