/** Who looks at this page, and what the platform offers to whoever has not signed in: one question for both. */
import { type QueryFunctionContext, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { actAs, api, unwrap } from "@/api/client";
import { ownerOf } from "@/api/owner";
import type { Me, Schemas } from "@/api/types";

export type Site = Schemas["SiteView"];

export const SITE_KEY = ["site"] as const;

/** What was read as one person is not shown to the next. Another tab may have signed in, too, so it is looked for here,
 * and not where this page signs in and out. */
export async function readSite({ client, signal }: QueryFunctionContext): Promise<Site> {
  const site = await unwrap(api.GET("/v1/site", { signal }));
  // An answer that is not waited for any more is of an earlier session.
  signal.throwIfAborted();
  if (actAs(site.me)) void client.resetQueries({ predicate: ({ queryKey }) => queryKey[0] !== SITE_KEY[0] });
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

/** A number that is another for whoever comes next: what is drawn with it as its `key` begins anew, and holds nothing of
 * what the one before wrote or was shown. */
export function useTurn(): number {
  const { data: site } = useSite();
  const owner = site === undefined ? null : ownerOf(site.me);
  const [turn, setTurn] = useState({ owner, count: 0 });
  if (owner !== null && owner !== turn.owner)
    setTurn({ owner, count: turn.owner === null ? turn.count : turn.count + 1 });
  return turn.count;
}
