/** A picture that was made, as the one to start from: in this form, or in that of the model's other task. */
import { useSearchParams } from "wouter";

import type { Card } from "@/api/types";
import { draftOf, keepDraft } from "@/playground/drafts";
import type { Playground } from "@/playground/usePlayground";

const FROM_PICTURE = "image_to_image";

/** Undefined where the model makes nothing of pictures. */
export function useAsInput(card: Card, { fields, values, set }: Playground): ((reference: string) => void) | undefined {
  const [, setSearch] = useSearchParams();
  if (fields.some((field) => field.name === "image"))
    return (reference) => {
      set("image", reference);
      set("mask", null);
    };
  if (!card.tasks.includes(FROM_PICTURE)) return undefined;
  return (reference) => {
    const before = draftOf(card.name, FROM_PICTURE);
    keepDraft(card.name, FROM_PICTURE, { ...before, prompt: values["prompt"] ?? null, image: reference, mask: null });
    setSearch((search) => {
      search.set("task", FROM_PICTURE);
      search.delete("run");
      return search;
    });
  };
}
