/** Calls of the API with the session's cookie. What changes something carries the session's own token besides. */
import createClient from "openapi-fetch";

import { ApiError, asApiError, errorOf, isAborted } from "./errors";
import { reach } from "./reachability";
import type { paths } from "./schema";

let csrfToken: string | null = null;

/** Told by the session's store whenever it has asked who we are. Kept in memory only. */
export function useCsrfToken(token: string | null): void {
  csrfToken = token;
}

/** What a changing request made without this client carries: an upload that tells its progress. */
export function sessionHeaders(): Record<string, string> {
  return csrfToken === null ? {} : { "x-csrf-token": csrfToken };
}

const SAFE = new Set(["GET", "HEAD", "OPTIONS"]);

/** Sends `request` with the session's token. One that is refused because the session has changed since (another tab
 * signed in anew) goes once more, with the token as it is now. */
async function send(request: Request): Promise<Response> {
  if (SAFE.has(request.method)) return reach(request);
  const again = request.clone();
  if (csrfToken !== null) request.headers.set("x-csrf-token", csrfToken);
  const response = await reach(request);
  if (response.status !== 403 || !(await isOldToken(response.clone()))) return response;
  const { data } = await typed.GET("/v1/site");
  csrfToken = data?.me?.csrf_token ?? null;
  if (csrfToken === null) return response;
  again.headers.set("x-csrf-token", csrfToken);
  return reach(again);
}

async function isOldToken(response: Response): Promise<boolean> {
  const body = (await response.json().catch(() => null)) as { error?: { code?: string } } | null;
  return body?.error?.code === "csrf_failed";
}

const typed = createClient<paths>({ baseUrl: "", credentials: "same-origin", fetch: send });

/** The typed client: `unwrap(await api.GET("/v1/runs", { params: { query: { limit: 20 } } }))`. */
export const api = typed;

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** What was asked for; raises ApiError for everything else. */
export async function unwrap<T>(answer: Answer<T> | Promise<Answer<T>>): Promise<T> {
  let settled: Answer<T>;
  try {
    settled = await answer;
  } catch (thrown) {
    if (isAborted(thrown)) throw thrown;
    throw asApiError(thrown);
  }
  if (settled.error !== undefined || !settled.response.ok) throw errorOf(settled.response, settled.error);
  return settled.data as T;
}

/** A call by hand, where the client's types do not fit: streams, uploads, files. Raises ApiError unless it succeeded. */
export async function call(path: string, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await send(new Request(new URL(path, window.location.href), { ...init, credentials: "same-origin" }));
  } catch (thrown) {
    if (isAborted(thrown)) throw thrown;
    throw asApiError(thrown);
  }
  if (response.ok) return response;
  const body: unknown = await response.json().catch(() => undefined);
  throw errorOf(response, body);
}

export { ApiError };
