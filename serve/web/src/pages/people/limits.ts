/** Limits per minute as a form has them, and in words. */
import type { Schemas } from "@/api/types";
import type { LimitTexts } from "@/pages/keys/LimitFields";
import { strings } from "@/strings";
import { count } from "@/ui/quantities";

const WORDS = strings.keys;

type Limits = Schemas["LimitsView"];

export function textsOf(limits: Limits): LimitTexts {
  const text = (limit: number | null) => (limit === null ? "" : String(limit));
  return {
    requests: text(limits.requests_per_minute),
    tokens: text(limits.tokens_per_minute),
    images: text(limits.images_per_minute),
  };
}

export function limitsInWords(limits: Limits): string {
  const names = ["requests_per_minute", "tokens_per_minute", "images_per_minute"] as const;
  const given = names.flatMap((name) => {
    const limit = limits[name];
    return limit === null ? [] : [WORDS.limit[name](count(limit))];
  });
  return given.length === 0 ? WORDS.unlimited : given.join(", ");
}
