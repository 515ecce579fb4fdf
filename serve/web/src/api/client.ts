/** Calls of the API with the session's cookie. What changes something carries the session's own token besides. */
import createClient from "openapi-fetch";

import { strings } from "@/strings";

import { ApiError, asApiError, errorOf, isAborted } from "./errors";
import { ownerOf } from "./owner";
import { reach } from "./reachability";
import type { paths } from "./schema";
import type { Me } from "./types";

let csrfToken: string | null = null;
let owner = ownerOf(null);
let changed: () => void = () => undefined;

/** Told by the session's store whenever it has asked who we are. Kept in memory only. */
export function actAs(me: Me | null): void {
  csrfToken = me?.csrf_token ?? null;
  owner = ownerOf(me);
}

/** `act` is told when an answer shows that the session has ended, or is somebody else's by now. */
export function whenSessionChanges(act: () => void): void {
  changed = act;
}

/** What a changing request made without this client carries: an upload that tells its progress. */
export function sessionHeaders(): Record<string, string> {
  return csrfToken === null ? {} : { "x-csrf-token": csrfToken };
}

const SAFE = new Set(["GET", "HEAD", "OPTIONS"]);

/** Sends `request` in the session. */
async function send(request: Request): Promise<Response> {
  const response = SAFE.has(request.method) ? await reach(request) : await sendWithToken(request);
  if (response.status === 401 && csrfToken !== null) changed();
  return response;
}

/** Sends `request` with the session's token. One that is refused because the session is another since (another tab
 * signed in anew) goes once more, with the token as it is now: but never in the name of somebody else. */
async function sendWithToken(request: Request): Promise<Response> {
  const again = request.clone();
  if (csrfToken !== null) request.headers.set("x-csrf-token", csrfToken);
  const response = await reach(request);
  if (response.status !== 403 || !(await isOldToken(response.clone()))) return response;
  const me = (await typed.GET("/v1/site")).data?.me ?? null;
  if (me?.csrf_token == null || ownerOf(me) !== owner) {
    changed();
    throw new ApiError(401, "session_changed", strings.errors.sessionChanged);
  }
  csrfToken = me.csrf_token;
  again.headers.set("x-csrf-token", csrfToken);
  return reach(again);
}

async function isOldToken(response: Response): Promise<boolean> {
  const body = (await response.json().catch(() => null)) as { error?: { code?: string } } | null;
  return body?.error?.code === "csrf_failed";
}

const typed = createClient<paths>({ baseUrl: window.location.origin, credentials: "same-origin", fetch: send });

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
