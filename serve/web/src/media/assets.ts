/** Assets as the page uses them: where their bytes are, and how new ones get there. */
import type { Schemas } from "@/api/types";
import { upload } from "@/api/uploading";

export type Asset = Schemas["AssetView"];

const SCHEME = "asset:";

/** Reads an asset's bytes, on this origin. */
export function assetUrl(id: string): string {
  return `/v1/assets/${encodeURIComponent(id)}/content`;
}

/** How inputs name an asset. */
export function assetReference(id: string): string {
  return SCHEME + id;
}

/** What a picture's reference is shown from; null for an address elsewhere, which the page does not read. */
export function sourceOf(reference: string): string | null {
  if (reference.startsWith(SCHEME)) return assetUrl(reference.slice(SCHEME.length));
  return /^data:image\//i.test(reference) ? reference : null;
}

/** Stores `file`. `onProgress` hears the part of it that was sent. Raises ApiError, or AbortError where `signal` says so. */
export async function uploadAsset(
  file: File | Blob,
  onProgress: (fraction: number) => void = () => undefined,
  signal?: AbortSignal,
): Promise<Asset> {
  const name = file instanceof File ? `?name=${encodeURIComponent(file.name.slice(0, 255))}` : "";
  const onSent = (sent: number, total: number) => {
    onProgress(total === 0 ? 1 : sent / total);
  };
  const mediaType = file.type || "application/octet-stream";
  return (await upload(`/v1/assets${name}`, file, { mediaType, onSent, signal })).body as Asset;
}

/** The bytes of `blob` as a `data:` URL: how those without an account send pictures. */
export function dataUrlOf(blob: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => {
      resolve(reader.result as string);
    };
    reader.onerror = () => {
      reject(new Error("The file cannot be read."));
    };
    reader.readAsDataURL(blob);
  });
}
