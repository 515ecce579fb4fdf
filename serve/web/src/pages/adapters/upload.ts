/** Sending files with progress: XMLHttpRequest, because fetch does not tell how much of a body has gone. */
import { ApiError, sessionHeaders } from "@/api/client";
import { errorOf } from "@/api/errors";
import type { Adapter } from "@/api/types";
import { strings } from "@/strings";

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
export function formOf(upload: Upload): FormData {
  const form = new FormData();
  form.set("name", upload.name);
  if (upload.base !== "") form.set("base", upload.base);
  if (upload.defaultScale !== "") form.set("default_scale", upload.defaultScale);
  for (const word of upload.triggerWords) form.append("trigger_words", word);
  for (const file of upload.files) form.append("file", file, file.name);
  return form;
}

/** Words between commas, each once. */
export function wordsOf(text: string): string[] {
  return [...new Set(text.split(",").map((word) => word.trim()))].filter((word) => word !== "");
}

/** Uploads; `onSent` is told how much has gone. Raises ApiError where the files are refused. */
export function uploadAdapter(
  upload: Upload,
  onSent: (sent: number, total: number) => void,
  signal: AbortSignal,
): Promise<Stored> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", "/v1/adapters");
    for (const [name, value] of Object.entries(sessionHeaders())) request.setRequestHeader(name, value);
    request.upload.onprogress = ({ loaded, total }) => {
      onSent(loaded, total);
    };
    request.onload = () => {
      const body = parsed(request.responseText);
      if (request.status < 300) resolve({ adapter: body as Adapter, isNew: request.status === 201 });
      else reject(errorOf(new Response(null, { status: request.status }), body));
    };
    request.onerror = () => {
      reject(new ApiError(0, "offline", strings.errors.offline));
    };
    request.onabort = () => {
      reject(new DOMException("stopped", "AbortError"));
    };
    signal.addEventListener("abort", () => {
      request.abort();
    });
    request.send(formOf(upload));
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
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
