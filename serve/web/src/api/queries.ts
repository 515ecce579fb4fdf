/** What more than one view asks the API: asked once, kept under one name, and shown the same everywhere. */
import { useQuery } from "@tanstack/react-query";

import { api, unwrap } from "./client";
import { isLive, readRun } from "./runs";
import type { Card } from "./types";

const LIVE_MS = 1_000;
const CALM_MS = 15_000;
const STARTING_MS = 2_000;
const SLOW_MS = 60_000;
const MAX_LISTED = 100;

/** Every model there is, with its state: again by itself, sooner while one starts. */
export function useCatalogue() {
  return useQuery({
    queryKey: ["catalogue"],
    queryFn: async () => (await unwrap(api.GET("/v1/catalog"))).data,
    refetchInterval: ({ state }) => (state.data?.some(isStarting) ? STARTING_MS : CALM_MS),
  });
}

function isStarting({ state }: Card): boolean {
  return state === "loading";
}

/** One model; `isWatched` while something waits for it to start. */
export function useCard(name: string, isWatched = false) {
  return useQuery({
    queryKey: ["catalogue", name],
    queryFn: () => unwrap(api.GET("/v1/catalog/{model}", { params: { path: { model: name } } })),
    refetchInterval: ({ state }) => (isWatched || (state.data && isStarting(state.data)) ? STARTING_MS : CALM_MS),
  });
}

/** Names of adapters by the model that they fit, as calls address them: `base:name`. */
export type AdaptersByBase = Map<string, string[]>;

export function useAdaptersByBase() {
  return useQuery({
    queryKey: ["models", "adapters"],
    queryFn: async () => byBase((await unwrap(api.GET("/v1/models"))).data),
    staleTime: SLOW_MS,
  });
}

export function byBase(models: { id: string; parent?: string | null }[]): AdaptersByBase {
  const found: AdaptersByBase = new Map();
  for (const { id, parent } of models) if (parent) found.set(parent, [...(found.get(parent) ?? []), id]);
  return found;
}

/** As many adapters as are chosen from: those for `base`, or of all; none are asked for unless `enabled`. */
export function useAdapterChoices({ base, enabled }: { base?: string; enabled: boolean }) {
  return useQuery({
    queryKey: ["adapters", "choices", base ?? null],
    queryFn: async () => {
      const query = { limit: MAX_LISTED, ...(base !== undefined && { base }) };
      return (await unwrap(api.GET("/v1/adapters", { params: { query } }))).data;
    },
    enabled,
    staleTime: CALM_MS,
  });
}

/** As many workflows as are chosen from. */
export function useWorkflowChoices({ enabled }: { enabled: boolean }) {
  return useQuery({
    queryKey: ["workflows", "choices"],
    queryFn: async () => (await unwrap(api.GET("/v1/workflows", { params: { query: { limit: MAX_LISTED } } }))).data,
    enabled,
    staleTime: CALM_MS,
  });
}

/** One run, asked again until it has ended; none is asked for by null. */
export function useOneRun(id: string | null) {
  return useQuery({
    queryKey: ["runs", "one", id],
    queryFn: () => readRun(id ?? ""),
    enabled: id !== null,
    refetchInterval: ({ state }) => (state.data && isLive(state.data) ? LIVE_MS : false),
  });
}

/** Of one tenant; null is one's own. */
export function ofTenant(tenant: string | null): { tenant?: string } {
  return tenant === null ? {} : { tenant };
}

export function useKeys(tenant: string | null = null, enabled = true) {
  return useQuery({
    queryKey: ["keys", tenant],
    queryFn: () => unwrap(api.GET("/v1/keys", { params: { query: ofTenant(tenant) } })),
    enabled,
  });
}

export function useProjects(tenant: string | null = null) {
  return useQuery({
    queryKey: ["projects", tenant],
    queryFn: () => unwrap(api.GET("/v1/projects", { params: { query: ofTenant(tenant) } })),
  });
}

export function useTenants(enabled: boolean) {
  return useQuery({ queryKey: ["tenants"], queryFn: () => unwrap(api.GET("/v1/admin/tenants")), enabled });
}
