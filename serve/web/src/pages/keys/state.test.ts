import { expect, test } from "vitest";

import { bodyOf, endOf, type KeyForm, stateOf } from "./state";

const NOW = Date.parse("2030-01-01T00:00:00.000Z");
const FORM: KeyForm = {
  title: " app ",
  scopes: ["read"],
  expires: "never",
  project: "",
  models: {},
  requests: "",
  tokens: "",
  images: "",
};

test("a key is live until it is revoked or expires", () => {
  const key = (revoked_at: string | null, expires_at: string | null) => ({ revoked_at, expires_at });
  const [past, future] = ["2029-12-31T00:00:00Z", "2030-01-02T00:00:00Z"];
  expect(stateOf(key(null, null), NOW)).toBe("live");
  expect(stateOf(key(future, null), NOW)).toBe("live");
  expect(stateOf(key(past, null), NOW)).toBe("revoked");
  expect(stateOf(key(null, past), NOW)).toBe("expired");
  expect(endOf(key(future, "2031-01-01T00:00:00Z"))).toBe(future);
});

test("what nothing is said about is left to the API", () => {
  expect(bodyOf(FORM, NOW)).toEqual({ title: "app", scopes: ["read"] });
});

test("everything that is said is in the body", () => {
  const models: KeyForm["models"] = { "shapes-sd": "adapters", minilm: "alone" };
  const body = bodyOf({ ...FORM, expires: "30", project: "search", models, requests: "60" }, NOW);
  expect(body).toEqual({
    title: "app",
    scopes: ["read"],
    project: "search",
    expires_at: "2030-01-31T00:00:00.000Z",
    models: ["minilm", "shapes-sd:*"],
    limits: { requests_per_minute: 60, tokens_per_minute: null, images_per_minute: null },
  });
});
