/** Who looks at this page, and what the platform offers to whoever has not signed in: one question for both. */
import { useQuery, useQueryClient } from "@tanstack/react-query";

import { api, unwrap, useCsrfToken as keepCsrfToken } from "@/api/client";
import type { Me, Schemas } from "@/api/types";

export type Site = Schemas["SiteView"];

export const SITE_KEY = ["site"] as const;

async function readSite(): Promise<Site> {
  const site = await unwrap(api.GET("/v1/site"));
  keepCsrfToken(site.me?.csrf_token ?? null);
  return site;
}

export function useSite() {
  return useQuery({ queryKey: SITE_KEY, queryFn: readSite, staleTime: 10_000 });
}

export interface Session {
  me: Me | null;
  isLoading: boolean;
  isSignedIn: boolean;
  isAdministrator: boolean;
  /** Whether the caller's key or role has `scope`. */
  may: (scope: Schemas["Scope"]) => boolean;
}

export function sessionOf(me: Me | null, isLoading: boolean): Session {
  return {
    me,
    isLoading,
    isSignedIn: me !== null,
    isAdministrator: me?.administrator ?? false,
    may: (scope) => me !== null && (me.administrator || me.scopes.includes(scope)),
  };
}

export function useSession(): Session {
  const { data, isPending } = useSite();
  return sessionOf(data?.me ?? null, isPending);
}

/** Has the page ask again who it is, after signing in or out or changing the tenant. */
export function useForgetSession(): () => Promise<void> {
  const queries = useQueryClient();
  return async () => {
    await queries.resetQueries();
  };
}
