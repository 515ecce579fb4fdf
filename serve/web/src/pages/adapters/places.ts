/** Where an adapter is tried: the playground of a model that takes it. */
import type { Adapter, Card } from "@/api/types";

import { baseFor } from "./queries";

/** Null where no served model takes it. */
export function tryPlace(adapter: Adapter, bases: Card[]): string | null {
  const base = baseFor(adapter, bases);
  if (base === null) return null;
  return `/models/${encodeURIComponent(base)}?adapter=${encodeURIComponent(adapter.address)}`;
}
