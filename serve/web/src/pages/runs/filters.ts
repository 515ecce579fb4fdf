/** What the list of runs shows, as its address has it: a reload, a link and the back button keep it. */
import type { Paths, RunStatus } from "@/api/types";

export type RunsQuery = NonNullable<Paths["/v1/runs"]["get"]["parameters"]["query"]>;

export const STATUSES: RunStatus[] = ["queued", "running", "succeeded", "failed", "canceled"];
export const PAGE = 25;

export interface RunFilters {
  status: RunStatus | null;
  /** "", "models", "workflows", "model:<name>" or "workflow:<name>". */
  of: string;
  /** The last id of the page before. */
  after: string | null;
}

/** Reads an address. What makes no sense in it is left out: links are old, or written by hand. */
export function filtersOf(search: string): RunFilters {
  const asked = new URLSearchParams(search);
  const status = STATUSES.find((one) => one === asked.get("status")) ?? null;
  const of = asked.get("of") ?? "";
  const isKnown = /^(models|workflows|(model|workflow):.{1,120})$/.test(of);
  return { status, of: isKnown ? of : "", after: asked.get("after") };
}

export function searchOf({ status, of, after }: RunFilters): string {
  const written = new URLSearchParams();
  if (status !== null) written.set("status", status);
  if (of !== "") written.set("of", of);
  if (after !== null) written.set("after", after);
  return written.toString();
}

export function queryOf({ status, of, after }: RunFilters): RunsQuery {
  const query: RunsQuery = { limit: PAGE };
  if (status !== null) query.status = status;
  if (after !== null) query.after = after;
  if (of === "models") query.kind = "model";
  if (of === "workflows") query.kind = "workflow";
  if (of.startsWith("model:")) query.model = of.slice("model:".length);
  if (of.startsWith("workflow:")) query.workflow = of.slice("workflow:".length);
  return query;
}
