/** The keys that hold on every view: Ctrl-K searches, "?" lists the keys. A view that uses one for itself goes first. */
import { useEffect } from "react";

import { type Over, useShellView } from "./shell-view";

export function overOf(event: Pick<KeyboardEvent, "key" | "ctrlKey" | "metaKey" | "altKey">, isWriting: boolean): Over {
  const isControl = event.ctrlKey || event.metaKey;
  if (event.key.toLowerCase() === "k" && isControl && !event.altKey) return "palette";
  if (event.key === "?" && !isControl && !event.altKey && !isWriting) return "keys";
  return null;
}

function isWriting(target: EventTarget | null): boolean {
  return target instanceof Element && target.closest("input, textarea, select, [contenteditable]") !== null;
}

function onKeyDown(event: KeyboardEvent): void {
  const over = overOf(event, isWriting(event.target));
  if (over === null || event.defaultPrevented || document.querySelector("dialog[open]") !== null) return;
  event.preventDefault();
  useShellView.getState().show(over);
}

export function useShellKeys(): void {
  useEffect(() => {
    // Added anew for each key on its way down, so that on the way up it comes after the view's own listeners.
    const onWayDown = () => {
      window.addEventListener("keydown", onKeyDown, { once: true });
    };
    window.addEventListener("keydown", onWayDown, { capture: true });
    return () => {
      window.removeEventListener("keydown", onWayDown, { capture: true });
      window.removeEventListener("keydown", onKeyDown);
    };
  }, []);
}
