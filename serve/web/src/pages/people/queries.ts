/** What the page of people asks the API, of one tenant; null is one's own. */
import { useQuery } from "@tanstack/react-query";

import { api, unwrap } from "@/api/client";
import { ofTenant } from "@/api/queries";
import type { Schemas } from "@/api/types";

export type Member = Schemas["MemberView"];
export type Role = Schemas["Role"];
export type Project = Schemas["ProjectView"];
export type Tenant = Schemas["TenantView"];

export const ROLES: Role[] = ["viewer", "developer", "owner"];

export function useMembers(tenant: string | null) {
  return useQuery({
    queryKey: ["members", tenant],
    queryFn: () => unwrap(api.GET("/v1/members", { params: { query: ofTenant(tenant) } })),
  });
}

export function useUsers(isAsked: boolean) {
  return useQuery({
    queryKey: ["users"],
    queryFn: () => unwrap(api.GET("/v1/admin/users")),
    enabled: isAsked,
  });
}

export function setRole(userId: string, role: Role, tenant: string | null): Promise<Member> {
  const params = { path: { user_id: userId }, query: ofTenant(tenant) };
  return unwrap(api.PUT("/v1/members/{user_id}", { params, body: { role } }));
}

export async function removeMember(userId: string, tenant: string | null, isKeepingKeys: boolean): Promise<void> {
  const query = { ...ofTenant(tenant), keep_keys: isKeepingKeys };
  await unwrap(api.DELETE("/v1/members/{user_id}", { params: { path: { user_id: userId }, query } }));
}

export async function deleteBudget(id: string): Promise<void> {
  await unwrap(api.DELETE("/v1/budgets/{budget_id}", { params: { path: { budget_id: id } } }));
}
