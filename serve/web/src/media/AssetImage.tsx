/** A picture of the platform: its place is held from the start, and what failed says so. */
import { ImageOff } from "lucide-react";
import { useState } from "react";

import { strings } from "@/strings";
import { classes } from "@/ui/classes";
import { Skeleton } from "@/ui/states";

import { assetUrl } from "./assets";

interface AssetImageProps {
  id: string;
  /** What it shows; the prompt it was made from, as a rule. */
  alt: string;
  width?: number | null;
  height?: number | null;
  className?: string;
}

export function AssetImage({ id, ...rest }: AssetImageProps) {
  return <Picture key={id} src={assetUrl(id)} {...rest} />;
}

type PictureProps = Omit<AssetImageProps, "id"> & { src: string };

/** The same from an address of this origin, or a `data:` URL. */
export function Picture({ src, alt, width, height, className }: PictureProps) {
  const [state, setState] = useState<"loading" | "shown" | "failed">("loading");
  if (state === "failed") {
    return (
      <span
        role="img"
        aria-label={`${alt} ${strings.playground.pictureGone}`}
        className={classes("flex flex-col items-center justify-center gap-1 bg-raised p-2 text-faint", className)}
      >
        <ImageOff size={16} aria-hidden />
        <span aria-hidden className="text-center text-xs">
          {strings.playground.pictureGone}
        </span>
      </span>
    );
  }
  return (
    <span className={classes("relative block overflow-hidden", className)}>
      {state === "loading" && <Skeleton className="absolute inset-0" />}
      <img
        src={src}
        alt={alt}
        width={width ?? undefined}
        height={height ?? undefined}
        decoding="async"
        draggable={false}
        onLoad={() => {
          setState("shown");
        }}
        onError={() => {
          setState("failed");
        }}
        className="block size-full object-contain"
      />
    </span>
  );
}
