/** What the pages of runs ask the API, asked again while something goes on. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";

import { api, call, unwrap } from "@/api/client";
import { useCatalogue, useWorkflowChoices } from "@/api/queries";
import { startedRun } from "@/api/starting";
import { isLive, readSteps } from "@/api/runs";
import type { Run, Schemas } from "@/api/types";

import { bodyOf, startOf } from "./facts";
import { queryOf, type RunFilters } from "./filters";

const LIVE_MS = 2_000;
const IDLE_MS = 15_000;

export function useRuns(filters: RunFilters) {
  return useQuery({
    queryKey: ["runs", filters],
    queryFn: () => unwrap(api.GET("/v1/runs", { params: { query: queryOf(filters) } })),
    // Pages further back hold what has ended; the first one also gets what is new.
    refetchInterval: ({ state }) =>
      state.data?.data.some(isLive) ? LIVE_MS : filters.after === null ? IDLE_MS : false,
  });
}

export function useSteps(run: Run) {
  return useQuery({
    // Asked once more when the run has ended, whatever was known before.
    queryKey: ["runs", "steps", run.id, isLive(run)],
    queryFn: () => readSteps(run.id),
    enabled: run.kind === "workflow",
    refetchInterval: isLive(run) ? LIVE_MS : false,
  });
}

export function usePostings(run: Run) {
  const query = new URLSearchParams({ run_id: run.id, limit: "200", from: run.created_at });
  return useQuery({
    queryKey: ["runs", "usage", run.id, run.status],
    // By hand: the route answers in three formats, and the client's types know no way to say which.
    queryFn: async () =>
      (await (await call(`/v1/usage/events?${query.toString()}`)).json()) as Schemas["Page_UsageEventView_"],
    enabled: !isLive(run),
    // Booked within seconds of the end; until then asked again, a few times.
    refetchInterval: ({ state }) => (state.data?.data.length === 0 && state.dataUpdateCount < 10 ? LIVE_MS : false),
  });
}

export function useDeliveries(run: Run) {
  return useQuery({
    queryKey: ["runs", "deliveries", run.id, run.status],
    queryFn: () => unwrap(api.GET("/v1/runs/{run_id}/deliveries", { params: { path: { run_id: run.id } } })),
    refetchInterval: ({ state }) => (state.data?.data.some((one) => one.status === "pending") ? 5_000 : false),
  });
}

/** Cancels; the answer is the run as it is then. */
export function useCancel() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (run: Run) => unwrap(api.POST("/v1/runs/{run_id}/cancel", { params: { path: { run_id: run.id } } })),
    onSettled: () => queries.invalidateQueries({ queryKey: ["runs"] }),
  });
}

/** The same input as a new run. */
export function useRetry() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (run: Run) => startedRun(startOf(run), bodyOf(run)),
    onSuccess: () => queries.invalidateQueries({ queryKey: ["runs"] }),
  });
}

export async function deleteRun(id: string): Promise<void> {
  await unwrap(api.DELETE("/v1/runs/{run_id}", { params: { path: { run_id: id } } }));
}

/** What can be filtered by: the models and the workflows there are. */
export function useTargets() {
  const models = useCatalogue().data ?? [];
  const workflows = useWorkflowChoices({ enabled: true }).data ?? [];
  return { models: models.map(({ name }) => name), workflows: workflows.map(({ name }) => name) };
}
