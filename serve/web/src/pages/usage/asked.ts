/** What the page of usage shows, as its address has it, and the times that it asks the API for. */

export const PERIODS = ["day", "week", "month", "year"] as const;
export const DIMENSIONS = ["model", "project", "key", "adapter", "workflow", "node", "tenant"] as const;

export type PeriodName = (typeof PERIODS)[number];
export type Dimension = (typeof DIMENSIONS)[number];

export interface Asked {
  period: PeriodName;
  by: Dimension;
  /** "cost", "due", "attempts", or a unit of usage. */
  measure: string;
  /** Null for one's own; "*" for all. Other than null for administrators only. */
  tenant: string | null;
}

export function askedOf(search: string): Asked {
  const given = new URLSearchParams(search);
  return {
    period: PERIODS.find((one) => one === given.get("period")) ?? "month",
    by: DIMENSIONS.find((one) => one === given.get("by")) ?? "model",
    measure: given.get("measure") ?? "cost",
    tenant: given.get("tenant"),
  };
}

export function searchOf({ period, by, measure, tenant }: Asked): string {
  const written = new URLSearchParams({ period, by, measure });
  if (tenant !== null) written.set("tenant", tenant);
  return written.toString();
}

export type Granularity = "hour" | "day" | "month";

export interface Buckets {
  granularity: Granularity;
  /** The first moment of each, in milliseconds; the last one is under way. */
  starts: number[];
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const NUMBERS: Record<PeriodName, number> = { day: 24, week: 7, month: 30, year: 12 };

/** The hours, days or months (UTC) of a period that ends now. */
export function bucketsOf(period: PeriodName, now: number): Buckets {
  const places = Array.from({ length: NUMBERS[period] }, (_, index) => index - NUMBERS[period] + 1);
  if (period === "year") {
    const today = new Date(now);
    const month = (place: number) => Date.UTC(today.getUTCFullYear(), today.getUTCMonth() + place, 1);
    return { granularity: "month", starts: places.map(month) };
  }
  const length = period === "day" ? HOUR_MS : DAY_MS;
  const present = Math.floor(now / length) * length;
  return { granularity: period === "day" ? "hour" : "day", starts: places.map((place) => present + place * length) };
}

const FORMATS: Record<Granularity, Intl.DateTimeFormatOptions> = {
  hour: { hour: "2-digit", minute: "2-digit", hourCycle: "h23" },
  day: { day: "numeric", month: "short" },
  month: { month: "short", year: "numeric" },
};

export function whenOf(start: number, granularity: Granularity): string {
  return new Date(start).toLocaleString("en-GB", { ...FORMATS[granularity], timeZone: "UTC" });
}
