/** What the page of adapters asks the API. */
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";

import { api, unwrap } from "@/api/client";
import type { Adapter, Card, Schemas } from "@/api/types";

export type Architecture = Schemas["AdapterArchitecture"];
const PAGE = 50;

/** Whose it is, and what it is called there. */
export interface AdapterPlace {
  tenant: string;
  name: string;
}

/** What `address` stands for when one of `tenant` says it: the own have no tenant before their names. */
export function placeOfAddress(address: string, tenant: string): AdapterPlace {
  const [first = "", ...rest] = address.split("/");
  return rest.length === 0 ? { tenant, name: first } : { tenant: first, name: rest.join("/") };
}

export function useAdapters(base: string) {
  return useInfiniteQuery({
    queryKey: ["adapters", "list", base],
    initialPageParam: null as string | null,
    queryFn: ({ pageParam }) => {
      const query = { limit: PAGE, ...(base && { base }), ...(pageParam !== null && { after: pageParam }) };
      return unwrap(api.GET("/v1/adapters", { params: { query } }));
    },
    getNextPageParam: (page) => {
      const last = page.data.at(-1);
      return page.has_more && last ? `${last.tenant}/${last.name}` : null;
    },
  });
}

export function useAdapter({ tenant, name }: AdapterPlace) {
  return useQuery({
    queryKey: ["adapters", "one", tenant, name],
    queryFn: () => unwrap(api.GET("/v1/adapters/{tenant}/{name}", { params: { path: { tenant, name } } })),
  });
}

export interface AdapterWords {
  title: string;
  description: string;
  triggerWords: string[];
  defaultScale: number;
}

export async function changeAdapter(adapter: Adapter, words: AdapterWords): Promise<Adapter> {
  const { tenant, name } = adapter;
  const body = {
    title: words.title,
    description: words.description,
    trigger_words: words.triggerWords,
    default_scale: words.defaultScale,
  };
  return unwrap(api.PATCH("/v1/adapters/{tenant}/{name}", { params: { path: { tenant, name } }, body }));
}

export async function deleteAdapter({ tenant, name }: Adapter): Promise<void> {
  await unwrap(api.DELETE("/v1/adapters/{tenant}/{name}", { params: { path: { tenant, name } } }));
}

export interface Import {
  name: string;
  base: string;
  uri: string;
  triggerWords: string[];
  defaultScale: string;
}

/** Has the platform fetch the files. */
export async function importAdapter(asked: Import): Promise<{ adapter: Adapter; isNew: boolean }> {
  const body = {
    name: asked.name,
    uri: asked.uri,
    trigger_words: asked.triggerWords,
    ...(asked.base !== "" && { base: asked.base }),
    ...(asked.defaultScale !== "" && { default_scale: Number(asked.defaultScale) }),
  };
  const answer = api.POST("/v1/adapters", { body });
  const adapter = await unwrap(answer);
  return { adapter, isNew: (await answer).response.status === 201 };
}

/** The model to try an adapter with: the one that it was checked against, or else one of its architecture. */
export function baseFor(adapter: Adapter, bases: Card[]): string | null {
  if (adapter.base !== null) return bases.find(({ name }) => name === adapter.base)?.name ?? null;
  return bases.find((card) => card.adapters.architecture === adapter.architecture)?.name ?? null;
}
