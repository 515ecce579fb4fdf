/** What the page of usage asks the API. */
import { keepPreviousData, useQuery } from "@tanstack/react-query";

import { api, unwrap } from "@/api/client";

import { type Asked, bucketsOf } from "./asked";
import type { UsageRow } from "./series";

const PAGE = 1000;
const MOST_PAGES = 20;

export interface UsageAnswer {
  rows: UsageRow[];
  /** False where there was more than a page of this kind should hold. */
  isWhole: boolean;
  granularity: "hour" | "day" | "month";
  starts: number[];
  from: string;
}

async function readUsage({ period, by, tenant }: Omit<Asked, "measure">): Promise<UsageAnswer> {
  const { granularity, starts } = bucketsOf(period, Date.now());
  const from = new Date(starts[0] ?? 0).toISOString();
  const rows: UsageRow[] = [];
  for (let page = 0; page < MOST_PAGES; page += 1) {
    const query = {
      ...{ group_by: [by], granularity, from, limit: PAGE, after: rows.length },
      ...(tenant !== null && { tenant }),
    };
    const answer = await unwrap(api.GET("/v1/usage", { params: { query } }));
    rows.push(...answer.data);
    if (!answer.has_more) return { rows, isWhole: true, granularity, starts, from };
  }
  return { rows, isWhole: false, granularity, starts, from };
}

export function useUsage({ period, by, tenant }: Asked) {
  return useQuery({
    queryKey: ["usage", period, by, tenant],
    queryFn: () => readUsage({ period, by, tenant }),
    placeholderData: keepPreviousData,
    refetchInterval: 60_000,
  });
}

/** Of one tenant: one's own for null. */
export function useBudgets(tenant: string | null) {
  return useQuery({
    queryKey: ["budgets", tenant],
    queryFn: () => unwrap(api.GET("/v1/budgets", { params: { query: tenant === null ? {} : { tenant } } })),
    refetchInterval: 30_000,
  });
}

export function useCredits(tenant: string | null) {
  return useQuery({
    queryKey: ["credits", tenant],
    queryFn: () => unwrap(api.GET("/v1/credits", { params: { query: tenant === null ? {} : { tenant } } })),
  });
}

export function useAudit() {
  return useQuery({ queryKey: ["audit"], queryFn: () => unwrap(api.GET("/v1/admin/reconcile")) });
}

export function useConflicts() {
  return useQuery({ queryKey: ["conflicts"], queryFn: () => unwrap(api.GET("/v1/admin/conflicts")) });
}

/** Where every single posting is to be had; `format` as the API calls it. */
export function exportOf(from: string, tenant: string | null, format: "csv" | "cloudevents"): string {
  const query = new URLSearchParams({ format, from });
  if (tenant !== null) query.set("tenant", tenant);
  return `/v1/usage/events?${query.toString()}`;
}
