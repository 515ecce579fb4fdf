/** Who looks at this page, and what the platform offers to whoever has not signed in: one question for both. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useLayoutEffect, useRef } from "react";

import { actAs, api, unwrap } from "@/api/client";
import { forgetOwner, ownerOf } from "@/api/owner";
import type { Me, Schemas } from "@/api/types";

export type Site = Schemas["SiteView"];

export const SITE_KEY = ["site"] as const;

async function readSite(): Promise<Site> {
  const site = await unwrap(api.GET("/v1/site"));
  actAs(site.me);
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
    await queries.resetQueries({ queryKey: SITE_KEY });
  };
}

/** What was read as one person is not shown to the next. Another tab may have signed in, too, so it is looked for here,
 * once for the page, and not where this page signs in and out. */
export function useOneOwner(): void {
  const queries = useQueryClient();
  const { data: site } = useSite();
  const before = useRef<string | null>(null);
  const owner = site === undefined ? null : ownerOf(site.me);
  useLayoutEffect(() => {
    if (owner === null || owner === before.current) return;
    if (before.current !== null) {
      forgetOwner(before.current);
      void queries.resetQueries({ predicate: ({ queryKey }) => queryKey[0] !== SITE_KEY[0] });
    }
    before.current = owner;
  }, [owner, queries]);
}
