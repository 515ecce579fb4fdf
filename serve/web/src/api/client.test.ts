import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { actAs, call, whenSessionChanges } from "./client";
import { useReachability } from "./reachability";
import type { Me } from "./types";

const me = (id: string, csrf_token: string) => ({ user: { id }, key_id: "", tenant: "acme", csrf_token }) as Me;
const OLD_TOKEN = '{"error": {"code": "csrf_failed", "message": "no"}}';
const sent: string[] = [];
let now: Me | null = null;

beforeEach(() => {
  sent.length = 0;
  vi.stubGlobal("fetch", (request: Request) => Promise.resolve(answer(request)));
});
afterEach(() => {
  vi.unstubAllGlobals();
  actAs(null);
});

/** As the platform answers while `now` is signed in. */
function answer(request: Request): Response {
  const { pathname } = new URL(request.url);
  if (pathname === "/v1/site") return Response.json({ me: now });
  const token = request.headers.get("x-csrf-token") ?? "";
  if (now === null) return new Response("{}", { status: 401 });
  if (request.method !== "GET" && token !== now.csrf_token) return new Response(OLD_TOKEN, { status: 403 });
  sent.push(`${request.method} as ${now.user?.id ?? ""}`);
  return new Response("{}");
}

describe("a session that has changed in another tab", () => {
  it("is gone on with, where the same person signed in anew", async () => {
    actAs(me("ann", "old"));
    now = me("ann", "new");
    await call("/v1/runs", { method: "POST", body: "{}" });
    expect(sent).toEqual(["POST as ann"]);
  });

  it("changes nothing in the name of somebody else, and the page looks who it is", async () => {
    const looked = vi.fn();
    whenSessionChanges(looked);
    actAs(me("ann", "old"));
    now = me("bob", "new");
    await expect(call("/v1/runs", { method: "POST" })).rejects.toMatchObject({ code: "session_changed" });
    expect(sent).toEqual([]);
    expect(looked).toHaveBeenCalledOnce();
  });

  it("that has ended is noticed with any call, once somebody was signed in", async () => {
    const looked = vi.fn();
    whenSessionChanges(looked);
    now = null;
    await expect(call("/v1/runs")).rejects.toMatchObject({ status: 401 });
    expect(looked).not.toHaveBeenCalled();
    actAs(me("ann", "old"));
    await expect(call("/v1/runs")).rejects.toMatchObject({ status: 401 });
    expect(looked).toHaveBeenCalledOnce();
  });
});

describe("an answer that does not come", () => {
  it("is not waited for without end", async () => {
    const over = new DOMException("late", "TimeoutError");
    vi.spyOn(AbortSignal, "timeout").mockReturnValue(AbortSignal.abort(over));
    vi.stubGlobal("fetch", ({ signal }: Request) => Promise.reject(signal.reason as Error));
    await expect(call("/v1/runs")).rejects.toMatchObject({ code: "timeout", isTransient: true });
    vi.restoreAllMocks();
  });

  it("is the network's fault only where the platform has not said it itself", async () => {
    const told = (headers: Record<string, string>) => () =>
      Promise.resolve(new Response("{}", { status: 504, headers }));
    vi.stubGlobal("fetch", told({ "x-request-id": "1" }));
    await expect(call("/v1/runs")).rejects.toMatchObject({ status: 504 });
    expect(useReachability.getState().isAway).toBe(false);
    vi.stubGlobal("fetch", told({}));
    await expect(call("/v1/runs")).rejects.toMatchObject({ code: "offline", isTransient: true });
    expect(useReachability.getState().isAway).toBe(true);
    useReachability.getState().found();
  });
});
