/** Adapters from files: what is sent, and under which name. */
import type { Adapter } from "@/api/types";
import { upload } from "@/api/uploading";

export interface Upload {
  name: string;
  base: string;
  triggerWords: string[];
  defaultScale: string;
  files: File[];
}

export interface Stored {
  adapter: Adapter;
  /** False where these very bytes were the present version already. */
  isNew: boolean;
}

/** The form of `POST /v1/adapters`: what is empty is left out. */
export function formOf(given: Upload): FormData {
  const form = new FormData();
  form.set("name", given.name);
  if (given.base !== "") form.set("base", given.base);
  if (given.defaultScale !== "") form.set("default_scale", given.defaultScale);
  for (const word of given.triggerWords) form.append("trigger_words", word);
  for (const file of given.files) form.append("file", file, file.name);
  return form;
}

/** Words between commas, each once. */
export function wordsOf(text: string): string[] {
  return [...new Set(text.split(",").map((word) => word.trim()))].filter((word) => word !== "");
}

/** Uploads; `onSent` is told how much has gone. Raises ApiError where the files are refused. */
export async function uploadAdapter(
  files: Upload,
  onSent: (sent: number, total: number) => void,
  signal: AbortSignal,
): Promise<Stored> {
  const { status, body } = await upload("/v1/adapters", formOf(files), { onSent, signal });
  return { adapter: body as Adapter, isNew: status === 201 };
}

/** A name that the platform takes, from a file's: lower case, with dashes between what is left. */
export function nameFrom(fileName: string): string {
  const stem = fileName.replace(/\.[^.]*$/, "").toLowerCase();
  return stem
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 40)
    .replace(/-+$/, "");
}
