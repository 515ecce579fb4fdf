/** Taking a file into a form: an asset for those who have signed in, a `data:` URL for others, who may not store. */
import { useEffect, useRef, useState } from "react";

import { asApiError, isAborted } from "@/api/errors";
import { assetReference, dataUrlOf, uploadAsset } from "@/media/assets";
import { useSession } from "@/shell/session";
import { strings } from "@/strings";

export interface Taking {
  /** The part that was sent, while it is sent. */
  fraction: number | null;
  fault: string | null;
  take: (file: Blob, kind?: string) => Promise<void>;
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
    sending.current?.abort();
    const control = new AbortController();
    sending.current = control;
    if (kind === "image" ? !PICTURES.includes(file.type) : !file.type.startsWith(`${kind}/`)) {
      setFault(strings.forms.notAPicture);
      return;
    }
    setFault(null);
    setFraction(0);
    try {
      if (isSignedIn) onTaken(assetReference((await uploadAsset(file, setFraction, control.signal)).id));
      else onTaken(await dataUrlOf(file));
    } catch (thrown) {
      if (!isAborted(thrown)) setFault(asApiError(thrown).message);
    } finally {
      if (sending.current === control) setFraction(null);
    }
  };
  return { fraction, fault, take };
}
