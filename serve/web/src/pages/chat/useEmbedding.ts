/** Texts to vectors, with what it cost and how long it took as this browser saw it. */
import { useMutation, useQueryClient } from "@tanstack/react-query";

import { api, unwrap } from "@/api/client";
import type { Cost, Json } from "@/api/types";
import { SITE_KEY } from "@/shell/session";

export interface Embedded {
  texts: string[];
  vectors: number[][];
  tokens: number;
  cost: Cost | null;
  seconds: number;
}

export interface EmbeddingAsk {
  model: string;
  texts: string[];
  values: Record<string, Json>;
}

export function useEmbedding() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: embed,
    // The call has changed what is left without a key.
    onSettled: () => queries.invalidateQueries({ queryKey: SITE_KEY }),
  });
}

async function embed({ model, texts, values }: EmbeddingAsk): Promise<Embedded> {
  const began = performance.now();
  const answer = await unwrap(api.POST("/v1/embeddings", { body: { ...values, model, input: texts } as never }));
  const seconds = (performance.now() - began) / 1000;
  const { data, usage } = answer;
  const vectors = data.map(({ embedding }) => (Array.isArray(embedding) ? embedding : []));
  return { texts, vectors, tokens: usage.prompt_tokens, cost: usage.cost ?? null, seconds };
}
