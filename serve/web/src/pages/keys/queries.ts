/** What the page of keys asks the API. */
import { useQuery } from "@tanstack/react-query";

import { api, unwrap } from "@/api/client";

import type { Key, NewKey } from "./state";

export function useKeys() {
  return useQuery({ queryKey: ["keys"], queryFn: () => unwrap(api.GET("/v1/keys")) });
}

export function useProjects() {
  return useQuery({ queryKey: ["projects"], queryFn: () => unwrap(api.GET("/v1/projects")) });
}

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
