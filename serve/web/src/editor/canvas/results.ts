/** Pure: of a node's outputs, what a small card can show. */
import type { Json } from "@/api/types";
import { assetsOf, type AssetValue, isPicture } from "@/editor/run/output-values";

/** The first picture of `outputs`; null without one. */
export function pictureOf(outputs: Record<string, Json> | null): AssetValue | null {
  for (const value of Object.values(outputs ?? {})) {
    const found = assetsOf(value).find(isPicture);
    if (found !== undefined) return found;
  }
  return null;
}

/** The first text or number of `outputs`; empty without one. */
export function textOf(outputs: Record<string, Json> | null): string {
  for (const value of Object.values(outputs ?? {})) {
    if (typeof value === "string" && value.trim() !== "") return value;
    if (typeof value === "number" || typeof value === "boolean") return String(value);
  }
  return "";
}
