/** Unsaved work, kept in this browser until the platform has it. By tenant and person: nobody else is offered it. */
import type { Json } from "@/api/types";

import type { LocalCopy } from "./store";

export interface Copies {
  read: () => LocalCopy | null;
  write: (copy: LocalCopy) => void;
  remove: () => void;
}

/** The part of `localStorage` that is needed. */
export type TextStore = Pick<Storage, "getItem" | "setItem" | "removeItem">;

export interface Owner {
  tenant: string;
  person: string;
  workflow: string;
}

export function localCopies({ tenant, person, workflow }: Owner, texts: TextStore): Copies {
  const key = ["slipway.draft", tenant, person, workflow].map(encodeURIComponent).join("/");
  return {
    read: () => copyOf(attempt(() => texts.getItem(key)) ?? null),
    write: (copy) =>
      attempt(() => {
        texts.setItem(key, JSON.stringify(copy));
      }),
    remove: () =>
      attempt(() => {
        texts.removeItem(key);
      }),
  };
}

/** A browser may keep nothing: its store is full, or forbidden. The page works without. */
function attempt<T>(act: () => T): T | undefined {
  try {
    return act();
  } catch {
    return undefined;
  }
}

function copyOf(text: string | null): LocalCopy | null {
  if (text === null) return null;
  const found = attempt(() => JSON.parse(text) as { [key: string]: Json } | null);
  if (!found || typeof found["document"] !== "object" || typeof found["revision"] !== "string") return null;
  return typeof found["at"] === "number" ? (found as unknown as LocalCopy) : null;
}
