/** Numbers as people read them: money, time, bytes, counts; always with their unit. */

/** The API's amounts: a decimal string for people, whole nano-dollars for sums. */
export interface Money {
  usd: string;
  nano_usd: number;
}

/** "$12.40", "$0.42", "$0.004", "$0.000012": cents, and below ten cents the two first digits that say something. */
export function money(cost: Money | null | undefined): string {
  if (!cost) return "";
  const value = Math.abs(cost.nano_usd) / 1e9;
  const sign = cost.nano_usd < 0 ? "-" : "";
  if (value === 0) return "$0";
  if (value >= 0.0995) return `${sign}$${grouped(value, 2)}`;
  const digits = Math.min(9, 1 - Math.floor(Math.log10(value)));
  return `${sign}$${value.toFixed(digits).replace(/0+$/, "")}`;
}

function grouped(value: number, digits: number): string {
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** "40 ms", "0.4 s", "12 s", "3 min 5 s", "2 h 4 min", "3 d 1 h". */
export function duration(seconds: number): string {
  if (seconds < 0.0995 && seconds > 0) return `${String(Math.max(1, Math.round(seconds * 1000)))} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < MINUTE) return `${String(whole)} s`;
  if (whole < HOUR) return pair(whole, MINUTE, "min", 1, "s");
  if (whole < DAY) return pair(whole, HOUR, "h", MINUTE, "min");
  return pair(whole, DAY, "d", HOUR, "h");
}

function pair(seconds: number, large: number, largeUnit: string, small: number, smallUnit: string): string {
  const rest = Math.floor((seconds % large) / small);
  const first = `${String(Math.floor(seconds / large))} ${largeUnit}`;
  return rest === 0 ? first : `${first} ${String(rest)} ${smallUnit}`;
}

const BYTE_UNITS = ["B", "kB", "MB", "GB", "TB"];

export function bytes(count: number): string {
  let value = count;
  let unit = 0;
  // 999.5 kB would be written as 1000 kB.
  while (value >= (unit === 0 ? 1000 : 999.5) && unit < BYTE_UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? String(value) : value.toFixed(value < 9.95 ? 1 : 0)} ${BYTE_UNITS[unit] ?? ""}`;
}

export function count(value: number): string {
  return value.toLocaleString("en");
}

/** "10 Mar 2030, 14:05", as the clock here has it. */
export function moment(at: string): string {
  return new Date(at).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
}

/** "14:05:07", as the clock here has it. */
export function clockTime(at: string): string {
  return new Date(at).toLocaleTimeString("en-GB");
}

/** "10 Mar 2030", as the clock here has it. */
export function day(at: string): string {
  return new Date(at).toLocaleDateString("en-GB", { dateStyle: "medium" });
}

/** "just now", "4 min ago", "yesterday", "12 Nov", "12 Nov 2029"; `now` is passed in, for tests. */
export function ago(at: string, now: number = Date.now()): string {
  const date = new Date(at);
  const seconds = Math.max(0, (now - date.getTime()) / 1000);
  if (seconds < 45) return "just now";
  if (seconds < HOUR - 30) return `${String(Math.max(1, Math.round(seconds / MINUTE)))} min ago`;
  if (seconds < DAY) return `${String(Math.round(seconds / HOUR))} h ago`;
  if (isDayBefore(date, new Date(now))) return "yesterday";
  const isOtherYear = date.getFullYear() !== new Date(now).getFullYear();
  return date.toLocaleDateString("en-GB", {
    day: "numeric",
    month: "short",
    year: isOtherYear ? "numeric" : undefined,
  });
}

function isDayBefore(date: Date, now: Date): boolean {
  const before = new Date(now);
  before.setDate(now.getDate() - 1);
  return date.toDateString() === before.toDateString();
}
