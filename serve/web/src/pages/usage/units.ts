/** Quantities of usage in words: "12 prompt tokens", "1.5 GPU seconds". */
import { strings } from "@/strings";
import { count } from "@/ui/quantities";

/** Milliseconds are told as seconds. */
const PER_SHOWN: Record<string, number> = { audio_ms: 1000, video_ms: 1000, gpu_ms: 1000 };

/** How many of `unit` as it is shown, of how many the API counts. */
export function shownQuantity(unit: string, quantity: number): number {
  return quantity / (PER_SHOWN[unit] ?? 1);
}

export function unitName(unit: string): string {
  return strings.usage.units[unit]?.[1] ?? unit.replaceAll("_", " ");
}

export function quantityInWords(unit: string, quantity: number): string {
  const shown = Math.round(shownQuantity(unit, quantity) * 100) / 100;
  const names = strings.usage.units[unit];
  return `${count(shown)} ${shown === 1 ? (names?.[0] ?? unit) : unitName(unit)}`;
}

export function quantitiesInWords(quantities: Record<string, number>): string[] {
  return Object.entries(quantities)
    .filter(([, quantity]) => quantity !== 0)
    .map(([unit, quantity]) => quantityInWords(unit, quantity));
}
