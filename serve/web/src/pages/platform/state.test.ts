import { expect, test } from "vitest";

import { decisionsOf, poolsOf, type Served } from "./state";

function served(name: string, pool: string, desired: number, gpus: number, times: number[]): Served {
  return {
    ...{ name, digest: "", managed_by: "api", generation: 1, state: "ready", message: "", cold_start_seconds: null },
    ...{ weights_digest: null, price_version: null, document: null },
    replicas: { ready: 1, desired },
    placement: { pool, gpus, cpus: 2 },
    scaling: { min_replicas: 0, max_replicas: 4, idle_seconds: 600 },
    scaling_decisions: times.map((ms) => ({ at: new Date(ms).toISOString(), before: 0, after: 1, reason: "a call" })),
  };
}

test("decisions of all models are told newest first", () => {
  const found = decisionsOf([served("b", "x", 1, 0, [1_000, 3_000]), served("a", "x", 1, 0, [3_000, 2_000])]);
  expect(found.map(({ model, at }) => [model, Date.parse(at)])).toEqual([
    ["a", 3_000],
    ["b", 3_000],
    ["a", 2_000],
    ["b", 1_000],
  ]);
});

test("a pool sums what the wanted replicas take", () => {
  expect(poolsOf([served("a", "gpu", 2, 0.5, []), served("b", "cpu", 1, 0, []), served("c", "gpu", 1, 1, [])])).toEqual(
    [
      { name: "cpu", models: 1, ready: 1, desired: 1, cpus: 2, gpus: 0 },
      { name: "gpu", models: 2, ready: 2, desired: 3, cpus: 6, gpus: 2 },
    ],
  );
});
