/** Numbers as people read them: money, time, bytes, counts; always with their unit. */

/** The API's amounts: a decimal string for people, whole nano-dollars for sums. */
export interface Money {
  usd: string;
  nano_usd: number;
}

/** "$0.004", "$0.0000123", "$12.40": two digits that say something, three places at the least below a dollar. */
export function money(cost: Money | null | undefined): string {
  if (!cost) return "";
  const value = cost.nano_usd / 1e9;
  if (value === 0) return "$0";
  if (Math.abs(value) >= 1) return `$${value.toFixed(2)}`;
  const digits = Math.min(9, Math.max(3, 1 - Math.floor(Math.log10(Math.abs(value)))));
  return `$${value.toFixed(digits)}`;
}

/** "0.4 s", "12 s", "3 min 5 s", "2 h 4 min". */
export function duration(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${String(Math.round(seconds))} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${String(minutes)} min ${String(Math.round(seconds % 60))} s`;
  return `${String(Math.floor(minutes / 60))} h ${String(minutes % 60)} min`;
}

const BYTE_UNITS = ["B", "kB", "MB", "GB", "TB"];

export function bytes(count: number): string {
  let value = count;
  let unit = 0;
  while (value >= 1000 && unit < BYTE_UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? String(value) : value.toFixed(value < 10 ? 1 : 0)} ${BYTE_UNITS[unit] ?? ""}`;
}

export function count(value: number): string {
  return value.toLocaleString("en");
}

/** "just now", "4 min ago", "yesterday", "12 Nov"; `now` is passed in, for tests. */
export function ago(moment: string, now: number = Date.now()): string {
  const seconds = Math.max(0, (now - Date.parse(moment)) / 1000);
  if (seconds < 45) return "just now";
  if (seconds < 3600) return `${String(Math.max(1, Math.round(seconds / 60)))} min ago`;
  if (seconds < 86_400) return `${String(Math.round(seconds / 3600))} h ago`;
  if (seconds < 172_800) return "yesterday";
  return new Date(moment).toLocaleDateString("en", { day: "numeric", month: "short" });
}
