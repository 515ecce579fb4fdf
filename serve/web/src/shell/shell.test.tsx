import { describe, expect, it } from "vitest";

import type { Card, Me } from "@/api/types";
import { codeOf, takeCode } from "@/pages/signin/signing-in";

import { leftToday } from "./left-today";
import { waitMs } from "./OfflineBanner";
import { groupsOf, runOfQuery } from "./palette-entries";
import { isAt, morePlaces, PLACES } from "./places";
import { returnPath, signInPath } from "./return-to";
import { sessionOf, type Site } from "./session";
import { viewOf } from "./useFocusOnNavigation";
import { overOf } from "./useShellKeys";

const ME: Me = {
  user: null,
  key_id: "k1",
  tenant: "default",
  project: "default",
  scopes: ["read", "inference"],
  models: null,
  limits: { requests_per_minute: null, tokens_per_minute: null, images_per_minute: null },
  administrator: false,
  tenants: [],
  csrf_token: "t",
  expires_at: null,
};

describe("a session", () => {
  it("that is none may do nothing", () => {
    const session = sessionOf(null, false);
    expect([session.isSignedIn, session.may("read")]).toEqual([false, false]);
    expect(morePlaces(session)).toEqual([]);
  });

  it("may do what its scopes say, and an administrator everything", () => {
    expect([sessionOf(ME, false).may("read"), sessionOf(ME, false).may("members")]).toEqual([true, false]);
    expect(sessionOf({ ...ME, administrator: true, scopes: [] }, false).may("members")).toBe(true);
  });

  it.each([
    [ME, ["/keys"]],
    [{ ...ME, scopes: ["members" as const] }, ["/keys", "/people"]],
    [{ ...ME, administrator: true }, ["/keys", "/people", "/platform"]],
  ])("sees the places that it may see", (me, paths) => {
    expect(morePlaces(sessionOf(me, false)).map(({ path }) => path)).toEqual(paths);
  });
});

describe("where signing in leads", () => {
  const origin = "https://slipway.example.com";
  it.each([
    ["?return_to=%2Fruns%3Fstatus%3Dfailed", "/runs?status=failed"],
    ["?return_to=/w/banner/app", "/w/banner/app"],
    ["", "/models"],
    ["?return_to=https://elsewhere.example/", "/models"],
    ["?return_to=//elsewhere.example/x", "/models"],
    ["?return_to=/%5Celsewhere.example", "/models"],
    ["?return_to=/.//elsewhere.example", "/models"],
    ["?return_to=/%09/elsewhere.example", "/models"],
    ["?return_to=javascript:alert(1)", "/models"],
    ["?return_to=/signin?return_to=/signin", "/models"],
    ["?return_to=/logout", "/models"],
  ])("%s to %s", (search, path) => {
    expect(returnPath(search, origin)).toBe(path);
  });

  it("is written so that it can be read", () => {
    expect(returnPath(signInPath("/runs?a=1&b=2").slice("/signin".length), origin)).toBe("/runs?a=1&b=2");
  });
});

describe("a one-time link's code", () => {
  it("leaves the address before it is used", () => {
    window.history.replaceState(null, "", "/signin?return_to=/runs#code=abc_1");
    expect(takeCode()).toBe("abc_1");
    expect(window.location.href).toMatch(/\/signin\?return_to=\/runs$/);
    expect(takeCode()).toBeNull();
  });

  it.each(["", "#", "#code=", "#section"])("is not found in %j", (fragment) => {
    expect(codeOf(fragment)).toBeNull();
  });
});

describe("the palette", () => {
  const card = { name: "shapes-sd", title: "Shapes", tags: ["small"], tasks: ["text_to_image"] } as unknown as Card;

  it("leads to what is known, and leaves out what is not", () => {
    const groups = groupsOf({ places: PLACES, models: [card], workflows: [{ name: "a b", title: "" }], runs: [] });
    expect(groups.map(({ entries }) => entries.map(({ path }) => path))).toEqual([
      PLACES.map(({ path }) => path),
      ["/models/shapes-sd"],
      ["/w/a%20b"],
    ]);
  });

  it("opens a run by its id", () => {
    expect(runOfQuery(" 01A20855-adb0-774b-ab7f-60185d3cefa4 ")).toBe("/runs/01a20855-adb0-774b-ab7f-60185d3cefa4");
    expect(runOfQuery("shapes")).toBeNull();
  });

  it.each([
    [{ key: "k", ctrlKey: true }, true, "palette"],
    [{ key: "K", metaKey: true }, false, "palette"],
    [{ key: "k" }, false, null],
    [{ key: "?" }, false, "keys"],
    [{ key: "?" }, true, null],
  ])("answers %j (writing: %s) with %s", (pressed, isWriting, over) => {
    expect(overOf({ ctrlKey: false, metaKey: false, altKey: false, ...pressed }, isWriting)).toBe(over);
  });
});

describe("the shell", () => {
  it("knows where one is", () => {
    const [models, workflows] = PLACES;
    if (models === undefined || workflows === undefined) throw new Error("no places");
    expect([isAt("/", models), isAt("/models/x", models), isAt("/w/x", models)]).toEqual([true, true, false]);
    expect([isAt("/w/x/app", workflows), isAt("/ways", workflows)]).toEqual([true, false]);
  });

  it("takes the tabs of a workflow for one view", () => {
    expect(viewOf("/w/banner/app")).toBe(viewOf("/w/banner"));
    expect(viewOf("/models/a")).not.toBe(viewOf("/models"));
  });

  it("asks less and less often for a platform that is away", () => {
    expect([0, 1, 2, 3, 4, 9].map(waitMs)).toEqual([500, 1000, 2000, 4000, 8000, 8000]);
  });

  it("tells the tightest of today's counts, and none where nothing is offered", () => {
    const of = (left: number, window: string) => ({ of: "client", window, limit: 60, left, resets_at: null });
    const site = { playground: { enabled: true, requests: [of(2, "minute"), of(58, "day"), of(41, "day")] } };
    expect(leftToday(site as Site)).toEqual({ left: 41, limit: 60 });
    expect(leftToday({ playground: { enabled: false, requests: [] } } as unknown as Site)).toBeNull();
  });
});
