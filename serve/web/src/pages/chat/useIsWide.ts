/** Whether there is room for columns side by side. */
import { useSyncExternalStore } from "react";

const WIDE = "(min-width: 1024px)";

export function useIsWide(): boolean {
  return useSyncExternalStore(
    (changed) => {
      const media = window.matchMedia(WIDE);
      media.addEventListener("change", changed);
      return () => {
        media.removeEventListener("change", changed);
      };
    },
    () => window.matchMedia(WIDE).matches,
  );
}
