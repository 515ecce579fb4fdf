/** Pure: of a node's outputs, what a small card can show. */
import type { Json } from "@/api/types";

/** The first picture of `outputs`, as the API's asset; null without one. */
export function pictureOf(outputs: Record<string, Json> | null): { asset: string } | null {
  for (const value of Object.values(outputs ?? {})) {
    const found = assetIn(value);
    if (found !== null) return { asset: found };
  }
  return null;
}

function assetIn(value: Json): string | null {
  if (Array.isArray(value)) return value.length === 0 ? null : assetIn(value[0] ?? null);
  if (value === null || typeof value !== "object") return null;
  const media = value["media_type"];
  const id = value["id"] ?? value["asset"];
  return typeof id === "string" && typeof media === "string" && media.startsWith("image/") ? id : null;
}

/** The first text or number of `outputs`; empty without one. */
export function textOf(outputs: Record<string, Json> | null): string {
  for (const value of Object.values(outputs ?? {})) {
    if (typeof value === "string" && value.trim() !== "") return value;
    if (typeof value === "number" || typeof value === "boolean") return String(value);
  }
  return "";
}
