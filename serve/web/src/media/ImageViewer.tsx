/** A picture at its full size, with its neighbours by the arrow keys, to be saved. */
import { ChevronLeft, ChevronRight, Download } from "lucide-react";
import { useEffect } from "react";

import { strings } from "@/strings";
import { Button, IconButton } from "@/ui/button";
import { Dialog } from "@/ui/dialog";

import type { ShownPicture } from "./ImageCompare";

export interface ViewedPicture extends ShownPicture {
  /** The name it is saved under. */
  fileName: string;
  /** Beside it: seed, size. */
  caption?: string;
}

interface ImageViewerProps {
  pictures: ViewedPicture[];
  /** Which one is open; null for none. */
  index: number | null;
  onIndex: (index: number | null) => void;
}

export function ImageViewer({ pictures, index, onIndex }: ImageViewerProps) {
  const shown = index === null ? undefined : pictures[index];
  const words = strings.playground;
  useEffect(() => {
    if (index === null) return;
    const move = (event: KeyboardEvent) => {
      if (event.key === "ArrowLeft" && index > 0) onIndex(index - 1);
      if (event.key === "ArrowRight" && index < pictures.length - 1) onIndex(index + 1);
    };
    window.addEventListener("keydown", move);
    return () => {
      window.removeEventListener("keydown", move);
    };
  }, [index, pictures.length, onIndex]);
  return (
    <Dialog
      open={shown !== undefined}
      onClose={() => {
        onIndex(null);
      }}
      title={words.pictureOf((index ?? 0) + 1, pictures.length)}
      className="max-w-[min(96vw,1100px)]!"
      footer={
        shown && (
          <>
            <span className="mr-auto self-center text-muted">{shown.caption}</span>
            <IconButton
              label={words.previous}
              disabled={index === 0}
              onClick={() => {
                onIndex((index ?? 1) - 1);
              }}
            >
              <ChevronLeft size={16} aria-hidden />
            </IconButton>
            <IconButton
              label={words.next}
              disabled={index === pictures.length - 1}
              onClick={() => {
                onIndex((index ?? 0) + 1);
              }}
            >
              <ChevronRight size={16} aria-hidden />
            </IconButton>
            <Button asChild>
              <a href={shown.src} download={shown.fileName}>
                <Download size={14} aria-hidden />
                {words.save}
              </a>
            </Button>
          </>
        )
      }
    >
      {shown && <img src={shown.src} alt={shown.alt} className="mx-auto max-h-[64dvh] min-h-40 object-contain" />}
    </Dialog>
  );
}
