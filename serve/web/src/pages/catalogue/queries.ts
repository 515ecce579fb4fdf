/** The catalogue as the page reads it: again by itself, sooner while something starts. */
import { useQuery } from "@tanstack/react-query";

import { api, unwrap } from "@/api/client";
import type { Card } from "@/api/types";
import { useSite } from "@/shell/session";

const CALM_MS = 15_000;
const STARTING_MS = 2_000;

export function useCatalogue() {
  return useQuery({
    queryKey: ["catalogue"],
    queryFn: async () => (await unwrap(api.GET("/v1/catalog"))).data,
    refetchInterval: ({ state }) => (isStarting(state.data) ? STARTING_MS : CALM_MS),
  });
}

function isStarting(cards: Card[] | undefined): boolean {
  return cards?.some((card) => card.state === "loading") ?? false;
}

/** Names of adapters by the model that they fit, as calls address them: `base:name`. */
export type AdaptersByBase = Map<string, string[]>;

export function useAdaptersByBase() {
  return useQuery({
    queryKey: ["models", "adapters"],
    queryFn: async () => byBase((await unwrap(api.GET("/v1/models"))).data),
    staleTime: 60_000,
  });
}

export function byBase(models: { id: string; parent?: string | null }[]): AdaptersByBase {
  const found: AdaptersByBase = new Map();
  for (const { id, parent } of models) if (parent) found.set(parent, [...(found.get(parent) ?? []), id]);
  return found;
}

/** The tightest count of today's calls without a key; null where there is none. */
export function useCallsLeft(): { left: number; limit: number } | null {
  const requests = useSite().data?.playground.requests ?? [];
  const today = requests.filter((one) => one.window === "day").sort((a, b) => a.left - b.left)[0];
  return today === undefined ? null : { left: today.left, limit: today.limit };
}
