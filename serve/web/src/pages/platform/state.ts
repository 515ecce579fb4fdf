/** What the operator's page shows, from what the API tells of each model and queue. */
import type { Schemas } from "@/api/types";

export type Served = Schemas["ServedView"];
export type Queue = Schemas["QueueView"];

export interface Decision {
  at: string;
  model: string;
  before: number;
  after: number;
  reason: string;
}

/** The decisions of all models, newest first. */
export function decisionsOf(served: Served[]): Decision[] {
  return served
    .flatMap(({ name, scaling_decisions }) => scaling_decisions.map((decision) => ({ ...decision, model: name })))
    .sort((a, b) => Date.parse(b.at) - Date.parse(a.at) || a.model.localeCompare(b.model));
}

export interface Pool {
  name: string;
  models: number;
  ready: number;
  desired: number;
  /** What the wanted replicas take. */
  cpus: number;
  gpus: number;
}

/** The pools that models are placed on, by name. */
export function poolsOf(served: Served[]): Pool[] {
  const pools = new Map<string, Pool>();
  for (const { placement, replicas } of served) {
    const none = { name: placement.pool, models: 0, ready: 0, desired: 0, cpus: 0, gpus: 0 };
    const pool = pools.get(placement.pool) ?? none;
    pool.models += 1;
    pool.ready += replicas.ready;
    pool.desired += replicas.desired;
    pool.cpus += replicas.desired * placement.cpus;
    pool.gpus += replicas.desired * placement.gpus;
    pools.set(placement.pool, pool);
  }
  return [...pools.values()].sort((a, b) => a.name.localeCompare(b.name));
}

export function sum<T>(rows: T[], value: (row: T) => number): number {
  return rows.reduce((total, row) => total + value(row), 0);
}
