/** Taking a file into a form: an asset for those who have signed in, a `data:` URL for others, who may not store. */
import { useEffect, useRef, useState } from "react";

import { asApiError } from "@/api/errors";
import { assetReference, dataUrlOf, uploadAsset } from "@/media/assets";
import { useSession } from "@/shell/session";
import { strings } from "@/strings";

export interface Taking {
  /** The part that was sent, while it is sent. */
  fraction: number | null;
  fault: string | null;
  take: (file: Blob, kind?: string) => Promise<void>;
  stop: () => void;
}

/** An SVG is a document, not pixels: no model takes one. */
const PICTURES = ["image/png", "image/jpeg", "image/webp"];

/** `onTaken` hears the reference that an input is given. */
export function useTaking(onTaken: (reference: string) => void): Taking {
  const { isSignedIn } = useSession();
  const [fraction, setFraction] = useState<number | null>(null);
  const [fault, setFault] = useState<string | null>(null);
  const sending = useRef<AbortController | null>(null);
  useEffect(
    () => () => {
      sending.current?.abort();
    },
    [],
  );
  const take = async (file: Blob, kind = "image") => {
    if (kind === "image" ? !PICTURES.includes(file.type) : !file.type.startsWith(`${kind}/`)) {
      setFault(strings.forms.notAPicture);
      return;
    }
    sending.current?.abort();
    const control = new AbortController();
    sending.current = control;
    setFault(null);
    setFraction(0);
    try {
      const reference = await referenceTo(file, isSignedIn, setFraction, control.signal);
      // What was chosen since, or nothing, counts; reading a file cannot be stopped.
      if (!control.signal.aborted) onTaken(reference);
    } catch (thrown) {
      if (!control.signal.aborted) setFault(asApiError(thrown).message);
    } finally {
      if (sending.current === control) setFraction(null);
    }
  };
  return { fraction, fault, take, stop: () => sending.current?.abort() };
}

async function referenceTo(
  file: Blob,
  mayStore: boolean,
  onProgress: (fraction: number) => void,
  signal: AbortSignal,
): Promise<string> {
  return mayStore ? assetReference((await uploadAsset(file, onProgress, signal)).id) : dataUrlOf(file);
}
