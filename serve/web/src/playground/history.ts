/** Runs that were made here: the tenant's for those who have signed in, this browser's own for others. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useCallback } from "react";

import { api, unwrap } from "@/api/client";
import type { Run } from "@/api/types";
import { useSession } from "@/shell/session";

/** As much of a run as its place in the history needs. */
export type PastRun = Pick<
  Run,
  "id" | "task" | "status" | "created_at" | "started_at" | "finished_at" | "input" | "adapters" | "output" | "cost"
>;

const MAX_KEPT = 30;
const PREFIX = "slipway.playground.runs.";

export function useHistory(model: string) {
  const { isSignedIn, isLoading } = useSession();
  const queries = useQueryClient();
  const key = ["playground", "history", model, isSignedIn];
  const found = useQuery({
    queryKey: key,
    enabled: !isLoading,
    queryFn: () => (isSignedIn ? listed(model) : kept(localStorage, model)),
  });
  const remember = useCallback(
    (run: Run) => {
      if (!isSignedIn) keep(localStorage, model, run);
      void queries.invalidateQueries({ queryKey: ["playground", "history", model] });
    },
    [queries, model, isSignedIn],
  );
  return { runs: found.data ?? [], isPending: found.isPending, error: found.error, remember };
}

async function listed(model: string): Promise<PastRun[]> {
  const query = { model, limit: MAX_KEPT };
  return (await unwrap(api.GET("/v1/runs", { params: { query } }))).data;
}

/** What this browser has kept, newest first. */
export function kept(storage: Pick<Storage, "getItem">, model: string): PastRun[] {
  try {
    const read = JSON.parse(storage.getItem(PREFIX + model) ?? "[]") as PastRun[];
    return Array.isArray(read) ? read : [];
  } catch {
    return [];
  }
}

/** Keeps `run`, in place of what was known of it. Where there is no room, or no storage, the history is short. */
export function keep(storage: Pick<Storage, "getItem" | "setItem">, model: string, run: Run): void {
  const { id, task, status, created_at, started_at, finished_at, input, adapters, output, cost } = run;
  const slim: PastRun = {
    ...{ id, task, status, created_at, started_at, finished_at },
    ...{ input: withoutBytes(input), adapters, output, cost },
  };
  const others = kept(storage, model).filter((one) => one.id !== id);
  const runs = [slim, ...others].sort((a, b) => b.created_at.localeCompare(a.created_at)).slice(0, MAX_KEPT);
  try {
    storage.setItem(PREFIX + model, JSON.stringify(runs));
  } catch {
    // A full or forbidden storage takes nothing away from the run.
  }
}

/** Pictures are kept by the platform, not here. */
export function withoutBytes(input: Run["input"]): Run["input"] {
  return Object.fromEntries(
    Object.entries(input).filter(([, value]) => !(typeof value === "string" && value.startsWith("data:"))),
  );
}
