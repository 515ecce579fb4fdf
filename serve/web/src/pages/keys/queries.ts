/** What the page of keys changes. */
import { api, unwrap } from "@/api/client";

import type { Key, NewKey } from "./state";

export function createKey(body: NewKey) {
  return unwrap(api.POST("/v1/keys", { body }));
}

export function rotateKey(key: Key, graceSeconds: number) {
  const params = { path: { key_id: key.id }, query: { tenant: key.tenant } };
  return unwrap(api.POST("/v1/keys/{key_id}/rotate", { params, body: { grace_seconds: graceSeconds } }));
}

export async function revokeKey(key: Key, isWithMade: boolean): Promise<void> {
  const query = { tenant: key.tenant, made_keys: isWithMade };
  await unwrap(api.DELETE("/v1/keys/{key_id}", { params: { path: { key_id: key.id }, query } }));
}
