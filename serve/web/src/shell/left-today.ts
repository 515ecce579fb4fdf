/** What is left of today's calls to whoever has not signed in. */
import { type Site, useSite } from "./session";

export interface Left {
  left: number;
  limit: number;
}

/** The tightest count of today; null where nothing is offered, or nothing is counted. */
export function leftToday(site: Site): Left | null {
  const today = site.playground.requests.filter(({ window }) => window === "day");
  const tightest = today.sort((a, b) => a.left - b.left)[0];
  return site.playground.enabled && tightest !== undefined ? { left: tightest.left, limit: tightest.limit } : null;
}

export function useLeftToday(): Left | null {
  const { data: site } = useSite();
  return site === undefined ? null : leftToday(site);
}
