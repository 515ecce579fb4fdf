/** The versions and aliases of a workflow, and what can be done with them. */
import { useInfiniteQuery, useQuery, useQueryClient } from "@tanstack/react-query";

import { api, unwrap } from "@/api/client";
import type { Schemas } from "@/api/types";

export type Version = Schemas["Page_VersionView_"]["data"][number];
export type Alias = Schemas["AliasView"];

const PAGE = 30;

export function useWorkflow(name: string) {
  return useQuery({
    queryKey: ["workflow", name, "view"],
    queryFn: () => unwrap(api.GET("/v1/workflows/{name}", { params: { path: { name } } })),
  });
}

export function useVersions(name: string) {
  return useInfiniteQuery({
    queryKey: ["workflow", name, "versions"],
    queryFn: ({ pageParam }) =>
      unwrap(
        api.GET("/v1/workflows/{name}/versions", {
          params: { path: { name }, query: { limit: PAGE, after: pageParam } },
        }),
      ),
    initialPageParam: null as number | null,
    getNextPageParam: (page) => (page.has_more ? (page.data.at(-1)?.version ?? null) : null),
  });
}

export function useAliases(name: string) {
  return useQuery({
    queryKey: ["workflow", name, "aliases"],
    queryFn: async () => (await unwrap(api.GET("/v1/workflows/{name}/aliases", { params: { path: { name } } }))).data,
  });
}

/** `from` and `to` are a version's number, an alias, `latest` or `draft`; `revision` asks again when the draft changes. */
export function useDifferences(name: string, from: string, to: string, revision: string | null, isWanted = true) {
  return useQuery({
    queryKey: ["workflow", name, "diff", from, to, revision],
    queryFn: () => unwrap(api.GET("/v1/workflows/{name}/diff", { params: { path: { name }, query: { from, to } } })),
    enabled: isWanted,
  });
}

/** Asks again for all that is known of the workflow, and for the list of workflows. */
export function useRefreshWorkflow(name: string): () => Promise<void> {
  const queries = useQueryClient();
  return async () => {
    await Promise.all([
      queries.invalidateQueries({ queryKey: ["workflow", name] }),
      queries.invalidateQueries({ queryKey: ["workflows"] }),
      queries.invalidateQueries({ queryKey: ["node-types"] }),
    ]);
  };
}
