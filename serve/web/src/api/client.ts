/** Calls of the API with the session's cookie. What changes something carries the session's own token besides. */
import createClient, { type Middleware } from "openapi-fetch";

import { ApiError, asApiError, errorOf, isAborted } from "./errors";
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

const session: Middleware = {
  onRequest({ request }) {
    if (csrfToken !== null && !SAFE.has(request.method)) request.headers.set("x-csrf-token", csrfToken);
    return request;
  },
};

const typed = createClient<paths>({ baseUrl: "", credentials: "same-origin" });
typed.use(session);

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
  const headers = new Headers(init.headers);
  const method = (init.method ?? "GET").toUpperCase();
  if (csrfToken !== null && !SAFE.has(method)) headers.set("x-csrf-token", csrfToken);
  let response: Response;
  try {
    response = await fetch(path, { ...init, headers, credentials: "same-origin" });
  } catch (thrown) {
    if (isAborted(thrown)) throw thrown;
    throw asApiError(thrown);
  }
  if (response.ok) return response;
  const body: unknown = await response.json().catch(() => undefined);
  throw errorOf(response, body);
}

export { ApiError };
