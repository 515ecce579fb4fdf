/** How a key stands, and what a new one is made from. */
import type { Schemas } from "@/api/types";

export type Key = Schemas["KeyView"];
export type NewKey = Schemas["NewKeyBody"];
export type Scope = Schemas["Scope"];

export const SCOPES: Scope[] = [
  "inference",
  "read",
  "adapters.write",
  "workflows.write",
  "keys",
  "budgets",
  "members",
  "admin",
];

export function stateOf(key: Pick<Key, "revoked_at" | "expires_at">, now: number): "live" | "expired" | "revoked" {
  if (key.revoked_at !== null && Date.parse(key.revoked_at) <= now) return "revoked";
  if (key.expires_at !== null && Date.parse(key.expires_at) <= now) return "expired";
  return "live";
}

/** When a live key ends: by expiry, or by a revocation that is still to come, as rotation leaves one. */
export function endOf(key: Pick<Key, "revoked_at" | "expires_at">): string | null {
  const ends = [key.revoked_at, key.expires_at].filter((moment) => moment !== null);
  return ends.sort((a, b) => Date.parse(a) - Date.parse(b))[0] ?? null;
}

export interface KeyForm {
  title: string;
  scopes: Scope[];
  /** Days, or "never". */
  expires: string;
  project: string;
  /** By name: "alone" or "adapters"; what is not there may not be used, unless nothing is there. */
  models: Record<string, "alone" | "adapters">;
  requests: string;
  tokens: string;
  images: string;
}

/** The body that makes the key; what nothing is said about is left to the API. */
export function bodyOf(form: KeyForm, now: number): NewKey {
  const body: NewKey = { title: form.title.trim(), scopes: form.scopes };
  if (form.project !== "") body.project = form.project;
  const days = Number(form.expires);
  if (Number.isFinite(days)) body.expires_at = new Date(now + days * 86_400_000).toISOString();
  const models = Object.entries(form.models).map(([name, use]) => (use === "adapters" ? `${name}:*` : name));
  if (models.length > 0) body.models = models.sort();
  const limits = limitsOf(form);
  if (limits !== null) body.limits = limits;
  return body;
}

/** Null where none is given. */
export function limitsOf(form: Pick<KeyForm, "requests" | "tokens" | "images">): Schemas["LimitsBody"] | null {
  const number = (text: string) => (text.trim() === "" ? null : Number(text));
  const limits = {
    requests_per_minute: number(form.requests),
    tokens_per_minute: number(form.tokens),
    images_per_minute: number(form.images),
  };
  return Object.values(limits).every((limit) => limit === null) ? null : limits;
}
