/** From the API's sums to what a chart and its tables show: a series for each of the largest groups, one for the rest. */
import type { Schemas } from "@/api/types";
import { count, money } from "@/ui/quantities";

import { quantityInWords, shownQuantity } from "./units";

export type UsageRow = Schemas["UsageView"];

export interface Group {
  /** Empty for what has no such thing, as calls without an adapter have. */
  name: string;
  total: number;
  rows: UsageRow[];
}

export const LARGEST = 6;

/** How much of `measure` a row has, as it is drawn: dollars, seconds, or a plain count. */
export function measured(row: UsageRow, measure: string): number {
  if (measure === "cost") return row.cost.list.nano_usd / 1e9;
  if (measure === "due") return row.cost.due.nano_usd / 1e9;
  if (measure === "attempts") return row.attempts;
  return shownQuantity(measure, row.quantities[measure] ?? 0);
}

/** An amount of `measure` in words: with its currency or unit. */
export function inWords(measure: string, value: number): string {
  if (measure === "cost" || measure === "due") return money({ usd: "", nano_usd: Math.round(value * 1e9) });
  if (measure === "attempts") return count(value);
  return quantityInWords(measure, value / (shownQuantity(measure, 1) || 1));
}

/** The groups by their total, the largest first; equal ones by name. */
export function groupsOf(rows: UsageRow[], by: string, measure: string): Group[] {
  const found = new Map<string, Group>();
  for (const row of rows) {
    const name = row.group[by] ?? "";
    const group = found.get(name) ?? { name, total: 0, rows: [] };
    group.total += measured(row, measure);
    group.rows.push(row);
    found.set(name, group);
  }
  return [...found.values()].sort((a, b) => b.total - a.total || a.name.localeCompare(b.name));
}

export interface Series {
  /** Null for all others together. */
  name: string | null;
  values: number[];
}

/** A series for each of the largest groups, and one for the others where there are any. */
export function seriesOf(groups: Group[], measure: string, starts: number[]): Series[] {
  const place = new Map(starts.map((start, index) => [start, index]));
  const valuesOf = (some: Group[]) => {
    const values = starts.map(() => 0);
    for (const row of some.flatMap((group) => group.rows)) {
      const index = row.period === null ? undefined : place.get(Date.parse(row.period));
      if (index !== undefined) values[index] = (values[index] ?? 0) + measured(row, measure);
    }
    return values;
  };
  const shown: Series[] = groups.slice(0, LARGEST).map((group) => ({ name: group.name, values: valuesOf([group]) }));
  const rest = groups.slice(LARGEST);
  if (rest.length > 0) shown.push({ name: null, values: valuesOf(rest) });
  return shown;
}

/** Each series on top of those before it: what bars that stand on one another are drawn from. */
export function stacked(series: Series[]): number[][] {
  const sums: number[] = [];
  return series.map(({ values }) =>
    values.map((value, index) => {
      sums[index] = (sums[index] ?? 0) + value;
      return sums[index];
    }),
  );
}

export interface Totals {
  list: number;
  free: number;
  credit: number;
  due: number;
  attempts: number;
  failed: number;
  unbilled: number;
  estimated: number;
  unpriced: number;
  quantities: Record<string, number>;
}

/** Sums of whole nano-dollars and counts: exact far beyond what anybody spends. */
export function totalsOf(rows: UsageRow[]): Totals {
  const totals: Totals = {
    ...{ list: 0, free: 0, credit: 0, due: 0, attempts: 0, failed: 0, unbilled: 0, estimated: 0, unpriced: 0 },
    quantities: {},
  };
  for (const row of rows) {
    for (const part of ["list", "free", "credit", "due"] as const) totals[part] += row.cost[part].nano_usd;
    for (const part of ["attempts", "unbilled", "estimated", "unpriced"] as const) totals[part] += row[part];
    totals.failed += row.failed + row.canceled + row.lost;
    for (const [unit, quantity] of Object.entries(row.quantities))
      totals.quantities[unit] = (totals.quantities[unit] ?? 0) + quantity;
  }
  return totals;
}
