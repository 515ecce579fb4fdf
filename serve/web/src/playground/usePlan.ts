/** What a run would cost and how long it would take, asked for while its parameters are chosen. */
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";

import { call } from "@/api/client";
import type { Schemas } from "@/api/types";

import type { RunBody } from "./requests";

export type Plan = Schemas["PlanView"];

const PAUSE_MS = 350;

/** The plan of `body`; null where it is not to be had: the form is not right yet, or a stranger's pictures are in it. */
export function usePlan(model: string, body: RunBody | null): Plan | null {
  const settled = useSettled(body === null ? null : JSON.stringify(body));
  const { data } = useQuery({
    queryKey: ["plan", model, settled],
    enabled: settled !== null,
    staleTime: 30_000,
    gcTime: 60_000,
    retry: false,
    placeholderData: keepPreviousData,
    queryFn: async ({ signal }) => planned(model, settled ?? "", signal),
  });
  return settled === null ? null : (data ?? null);
}

async function planned(model: string, body: string, signal: AbortSignal): Promise<Plan> {
  const path = `/v1/models/${encodeURIComponent(model)}/plan`;
  const headers = { "content-type": "application/json" };
  const response = await call(path, { method: "POST", headers, body, signal });
  return (await response.json()) as Plan;
}

/** `text` once it has rested: every keystroke is not a question. */
function useSettled(text: string | null): string | null {
  const [settled, setSettled] = useState(text);
  useEffect(() => {
    const timer = setTimeout(() => {
      setSettled(text);
    }, PAUSE_MS);
    return () => {
      clearTimeout(timer);
    };
  }, [text]);
  return text === null ? null : settled;
}
