/** Assets as the page uses them: where their bytes are, and how new ones get there. */
import { sessionHeaders } from "@/api/client";
import { ApiError } from "@/api/errors";
import type { Schemas } from "@/api/types";
import { strings } from "@/strings";

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
export function uploadAsset(
  file: File | Blob,
  onProgress: (fraction: number) => void = () => undefined,
  signal?: AbortSignal,
): Promise<Asset> {
  return new Promise((resolve, reject) => {
    // fetch does not tell how much of a body was sent.
    const request = new XMLHttpRequest();
    const name = file instanceof File ? `?name=${encodeURIComponent(file.name.slice(0, 255))}` : "";
    request.open("POST", `/v1/assets${name}`);
    for (const [header, value] of Object.entries(sessionHeaders())) request.setRequestHeader(header, value);
    request.setRequestHeader("content-type", file.type || "application/octet-stream");
    request.upload.onprogress = (event) => {
      if (event.lengthComputable) onProgress(event.loaded / event.total);
    };
    request.onload = () => {
      if (request.status === 201) resolve(JSON.parse(request.responseText) as Asset);
      else reject(refusalOf(request));
    };
    request.onerror = () => {
      reject(new ApiError(0, "offline", strings.errors.offline));
    };
    request.onabort = () => {
      reject(new DOMException("The upload was stopped.", "AbortError"));
    };
    signal?.addEventListener("abort", () => {
      request.abort();
    });
    request.send(file);
  });
}

function refusalOf(request: XMLHttpRequest): ApiError {
  let told: { code?: string; message?: string; param?: string | null } = {};
  try {
    told = (JSON.parse(request.responseText) as { error?: typeof told }).error ?? {};
  } catch {
    // A proxy's page, say: its status is all that is known.
  }
  const { status } = request;
  return new ApiError(
    status,
    told.code ?? `http_${String(status)}`,
    told.message ?? strings.errors.answered(status),
    told.param ?? null,
  );
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
