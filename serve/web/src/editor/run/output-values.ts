/** Pure: what a value of an output is, so that it can be shown: pictures and other files, text, or data. */
import type { Json } from "@/api/types";

export interface AssetValue {
  id: string;
  mediaType: string;
  name: string | null;
  width: number | null;
  height: number | null;
  numBytes: number;
}

/** `{"asset": {...}}` as the API writes a file; null for anything else. */
export function assetOf(value: Json | undefined): AssetValue | null {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return null;
  const asset = value["asset"];
  if (asset === null || typeof asset !== "object" || Array.isArray(asset)) return null;
  const { id, media_type: mediaType, name, width, height, num_bytes: numBytes } = asset;
  if (typeof id !== "string" || typeof mediaType !== "string") return null;
  return {
    id,
    mediaType,
    name: typeof name === "string" ? name : null,
    width: typeof width === "number" ? width : null,
    height: typeof height === "number" ? height : null,
    numBytes: typeof numBytes === "number" ? numBytes : 0,
  };
}

/** A value that is kept as a file because it is large: `{"$document": {"asset": ...}}`. */
export function documentOf(value: Json | undefined): AssetValue | null {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return null;
  return assetOf(value["$document"]);
}

/** All files in a value that is one, or a list of them; none where it is something else. */
export function assetsOf(value: Json | undefined): AssetValue[] {
  const found = (Array.isArray(value) ? value : [value]).map((one) => assetOf(one));
  return found.length > 0 && found.every((one) => one !== null) ? found : [];
}

export function isPicture(asset: AssetValue): boolean {
  return asset.mediaType.startsWith("image/");
}
