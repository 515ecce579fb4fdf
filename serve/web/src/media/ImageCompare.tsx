/** Two pictures in one place, parted by a line that a hand or the arrow keys move. */
import { useState } from "react";

import { strings } from "@/strings";

export interface ShownPicture {
  src: string;
  alt: string;
}

export function ImageCompare({ before, after }: { before: ShownPicture; after: ShownPicture }) {
  const [percent, setPercent] = useState(50);
  return (
    <div className="relative mx-auto aspect-square max-h-full w-full overflow-hidden rounded-md bg-raised">
      <img src={after.src} alt={after.alt} draggable={false} className="absolute inset-0 size-full object-contain" />
      <img
        src={before.src}
        alt={before.alt}
        draggable={false}
        className="absolute inset-0 size-full object-contain"
        style={{ clipPath: `inset(0 ${String(100 - percent)}% 0 0)` }}
      />
      <div aria-hidden className="absolute inset-y-0 w-px bg-fg" style={{ left: `${String(percent)}%` }}>
        <div className="absolute top-1/2 left-1/2 size-5 -translate-1/2 rounded-full border border-line-strong bg-surface shadow-float" />
      </div>
      <input
        type="range"
        min={0}
        max={100}
        value={percent}
        aria-label={strings.playground.compareLine}
        onChange={(event) => {
          setPercent(event.target.valueAsNumber);
        }}
        className="absolute inset-0 size-full cursor-ew-resize opacity-0"
      />
    </div>
  );
}
