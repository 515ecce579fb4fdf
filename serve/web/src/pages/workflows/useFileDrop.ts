/** Files dropped anywhere on a part of the page. */
import { type DragEvent, useState } from "react";

/** Entering a child leaves its parent, so the depth is counted. What a field within has taken is not taken again. */
export function useFileDrop(isEnabled: boolean, onFile: (file: File) => void) {
  const [depth, setDepth] = useState(0);
  const hasFile = (event: DragEvent) => isEnabled && event.dataTransfer.types.includes("Files");
  const handlers = {
    onDragEnter: (event: DragEvent) => {
      if (hasFile(event)) setDepth((now) => now + 1);
    },
    onDragLeave: (event: DragEvent) => {
      if (hasFile(event)) setDepth((now) => Math.max(0, now - 1));
    },
    onDragOver: (event: DragEvent) => {
      if (hasFile(event)) event.preventDefault();
    },
    onDropCapture: () => {
      setDepth(0);
    },
    onDrop: (event: DragEvent) => {
      if (!hasFile(event) || event.defaultPrevented) return;
      event.preventDefault();
      const file = event.dataTransfer.files[0];
      if (file) onFile(file);
    },
  };
  return { isOver: depth > 0, handlers };
}
