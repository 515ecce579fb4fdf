import { expect, test } from "vitest";

import { askedOf, bucketsOf, searchOf, whenOf } from "./asked";
import { partsOf } from "./BudgetBar";
import { groupsOf, inWords, LARGEST, seriesOf, stacked, totalsOf, type UsageRow } from "./series";
import { quantitiesInWords } from "./units";

const NOW = Date.UTC(2030, 0, 31, 13, 45);
const cost = (nano_usd: number) => ({ nano_usd, usd: "" });

function row(model: string, period: number, nano: number, images = 0): UsageRow {
  const counts = { canceled: 1, failed: 0, lost: 0, unbilled: 0, estimated: 0, unpriced: 0 };
  return {
    ...{
      object: "usage",
      period: new Date(period).toISOString(),
      group: { model },
      quantities: { images },
      attempts: 2,
    },
    ...counts,
    cost: { list: cost(nano), free: cost(0), credit: cost(0), due: cost(nano) },
  };
}

test("what is asked goes into the address and comes back", () => {
  const asked = { period: "week", by: "key", measure: "images", tenant: "*" } as const;
  expect(askedOf(searchOf(asked))).toEqual(asked);
  expect(askedOf("period=eon&by=colour")).toEqual({ period: "month", by: "model", measure: "cost", tenant: null });
});

test("periods are whole hours, days and months of UTC that end with the present one", () => {
  const ends = (period: "day" | "week" | "month" | "year") => {
    const { starts, granularity } = bucketsOf(period, NOW);
    const shown = [starts[0], starts.at(-1)].map((start) => new Date(start ?? 0).toISOString().slice(0, 13));
    return [granularity, starts.length, ...shown];
  };
  expect(ends("day")).toEqual(["hour", 24, "2030-01-30T14", "2030-01-31T13"]);
  expect(ends("week")).toEqual(["day", 7, "2030-01-25T00", "2030-01-31T00"]);
  expect(ends("month")).toEqual(["day", 30, "2030-01-02T00", "2030-01-31T00"]);
  expect(ends("year")).toEqual(["month", 12, "2029-02-01T00", "2030-01-01T00"]);
  expect(whenOf(NOW, "hour")).toBe("13:45");
});

test("the largest groups have a series each and the others one together", () => {
  const { starts } = bucketsOf("week", NOW);
  const [first = 0, second = 0] = starts;
  const rows = Array.from({ length: LARGEST + 2 }, (_, index) => row(`m${String(index)}`, first, (10 - index) * 1e9));
  rows.push(row("m7", second, 20e9));
  const groups = groupsOf(rows, "model", "cost");
  expect(groups[0]).toMatchObject({ name: "m7", total: 23 });
  const series = seriesOf(groups, "cost", starts);
  expect(series).toHaveLength(LARGEST + 1);
  expect(series.at(-1)).toEqual({ name: null, values: [9, 0, 0, 0, 0, 0, 0] });
  expect(stacked(series).at(-1)?.slice(0, 2)).toEqual([52, 20]);
  expect(totalsOf(rows)).toMatchObject({ list: 72e9, attempts: 18, failed: 9 });
});

test("amounts carry their unit", () => {
  expect(inWords("cost", 1.5)).toBe("$1.50");
  expect(inWords("attempts", 1200)).toBe("1,200");
  expect(inWords("gpu_ms", 2.5)).toBe("2.5 GPU seconds");
  expect(inWords("images", 1)).toBe("1 image");
  expect(quantitiesInWords({ prompt_tokens: 10, gpu_ms: 500, steps: 0 })).toEqual([
    "10 prompt tokens",
    "0.5 GPU seconds",
  ]);
});

test("a budget's bar is never longer than itself", () => {
  const state = (limit: number | null, spent: number, held: number) => ({
    ...{
      id: "b",
      object: "budget" as const,
      title: "",
      tenant: "t",
      project: null,
      key_id: null,
      period: "day" as const,
    },
    ...{ started_at: null, resets_at: null, set_by: "admin", created_at: "", updated_at: "", soft_exceeded: false },
    limit: limit === null ? null : cost(limit),
    soft_limit: null,
    spent: cost(spent),
    held: cost(held),
    remaining: null,
  });
  expect(partsOf(state(100, 25, 50))).toEqual({ spent: 0.25, held: 0.5 });
  expect(partsOf(state(100, 80, 50))).toEqual({ spent: 0.8, held: expect.closeTo(0.2) });
  expect(partsOf(state(100, 900, 50))).toEqual({ spent: 1, held: 0 });
  expect(partsOf(state(0, 0, 0))).toEqual({ spent: 1, held: 0 });
});
