/** How a browser gets its session here: by a link's code, or by a key. Neither is kept anywhere. */
import { api, call, unwrap } from "@/api/client";

/** The code in the fragment of a one-time link's address (`#code=...`), null without. */
export function codeOf(fragment: string): string | null {
  const code = new URLSearchParams(fragment.replace(/^#/, "")).get("code");
  return code === "" ? null : code;
}

/** Takes the code out of the address, and so out of the browser's history, before anything is done with it. */
export function takeCode(): string | null {
  const code = codeOf(window.location.hash);
  if (code !== null) window.history.replaceState(null, "", window.location.pathname + window.location.search);
  return code;
}

export async function signInByCode(code: string): Promise<void> {
  await unwrap(api.POST("/v1/session/link", { body: { code } }));
}

export async function signInByKey(key: string): Promise<void> {
  await call("/v1/session", { method: "POST", headers: { authorization: `Bearer ${key.trim()}` } });
}
