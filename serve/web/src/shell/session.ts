/** Who looks at this page, and what the platform offers to whoever has not signed in. */
import { useQuery, useQueryClient } from "@tanstack/react-query";

import { api, unwrap, useCsrfToken } from "@/api/client";
import { asApiError } from "@/api/errors";
import type { Me } from "@/api/types";

export const SESSION_KEY = ["session"] as const;

/** Null without a session or key: the anonymous playground is all there is then. */
async function readMe(): Promise<Me | null> {
  try {
    const me = await unwrap(api.GET("/v1/me"));
    useCsrfToken(me.csrf_token);
    return me;
  } catch (thrown) {
    const error = asApiError(thrown);
    if (error.status !== 401) throw error;
    useCsrfToken(null);
    return null;
  }
}

export interface Session {
  me: Me | null;
  isLoading: boolean;
  isSignedIn: boolean;
  isAdministrator: boolean;
  /** Whether the caller's key or role has `scope`. */
  may: (scope: string) => boolean;
}

export function useSession(): Session {
  const { data, isPending } = useQuery({ queryKey: SESSION_KEY, queryFn: readMe, staleTime: 60_000 });
  const me = data ?? null;
  return {
    me,
    isLoading: isPending,
    isSignedIn: me !== null,
    isAdministrator: me?.administrator ?? false,
    may: (scope) => me !== null && (me.administrator || me.scopes.some((one) => one === scope)),
  };
}

/** Has the page ask again who it is, after signing in or out or changing the tenant. */
export function useForgetSession(): () => Promise<void> {
  const queries = useQueryClient();
  return async () => {
    await queries.resetQueries();
  };
}
