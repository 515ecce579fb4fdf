/** Calls of the API with the session's cookie. What changes something carries the session's own token besides. */
import createClient from "openapi-fetch";

import { strings } from "@/strings";

import { ApiError, asApiError, errorOf, isAborted } from "./errors";
import { forgetOwner, ownerOf } from "./owner";
import { reach } from "./reachability";
import type { paths } from "./schema";
import type { Me } from "./types";

let csrfToken: string | null = null;
/** Null until it was asked for the first time. */
let owner: string | null = null;
let changed: () => void = () => undefined;

/** Told by the session's store whenever it has asked who we are; kept in memory only. Whether that is somebody else than
 * before: what was held for the one before has been let go of then. */
export function actAs(me: Me | null): boolean {
  const before = owner;
  csrfToken = me?.csrf_token ?? null;
  owner = ownerOf(me);
  if (before === null || before === owner) return false;
  forgetOwner(before);
  return true;
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
/** Nothing waits for ever. What changes something may have to wait for a model to start. */
const READ_MS = 30_000;
const WRITE_MS = 300_000;

function timed(request: Request): Request {
  const limit = AbortSignal.timeout(SAFE.has(request.method) ? READ_MS : WRITE_MS);
  return new Request(request, { signal: AbortSignal.any([request.signal, limit]) });
}

/** Sends `request` in the session. */
async function send(request: Request): Promise<Response> {
  const response = SAFE.has(request.method) ? await reach(request) : await sendWithToken(request);
  noticeEnd(response.status);
  return response;
}

/** An answer's status may show that the session has ended. */
export function noticeEnd(status: number): void {
  if (status === 401 && csrfToken !== null) changed();
}

/** Sends `request` with the session's token. One that is refused because the session is another since (another tab
 * signed in anew) goes once more, with the token as it is now: but never in the name of somebody else. */
async function sendWithToken(request: Request): Promise<Response> {
  const again = request.clone();
  if (csrfToken !== null) request.headers.set("x-csrf-token", csrfToken);
  const response = await reach(request);
  if (
    response.status !== 403 ||
    !isOldToken(
      await response
        .clone()
        .json()
        .catch(() => null),
    )
  )
    return response;
  again.headers.set("x-csrf-token", await renewedToken());
  return reach(again);
}

/** Whether a refusal (403) is because the session has another token by now. */
export function isOldToken(body: unknown): boolean {
  return (body as { error?: { code?: string } } | null)?.error?.code === "csrf_failed";
}

/** The session's token as it is now. Raises ApiError where the session is somebody else's, or none. */
export async function renewedToken(): Promise<string> {
  const me = (await typed.GET("/v1/site")).data?.me ?? null;
  if (me?.csrf_token == null || ownerOf(me) !== (owner ?? ownerOf(null))) {
    changed();
    throw new ApiError(401, "session_changed", strings.errors.sessionChanged);
  }
  csrfToken = me.csrf_token;
  return csrfToken;
}

const typed = createClient<paths>({
  baseUrl: window.location.origin,
  credentials: "same-origin",
  fetch: (request) => send(timed(request)),
});

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

/** A call by hand, where the client's types do not fit: streams, uploads, files. Raises ApiError unless it succeeded.
 * Who gives a signal decides how long it is waited for. */
export async function call(path: string, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    const request = new Request(new URL(path, window.location.href), { ...init, credentials: "same-origin" });
    response = await send(init.signal ? request : timed(request));
  } catch (thrown) {
    if (isAborted(thrown)) throw thrown;
    throw asApiError(thrown);
  }
  if (response.ok) return response;
  const body: unknown = await response.json().catch(() => undefined);
  throw errorOf(response, body);
}

export { ApiError };
